"""What the sandbox check makes of containers that it cannot look at, or not to the end."""

from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console
from walled import container, facts, own_facts

from sandbox import check, engine, subjects
from sandbox.engine import EngineError, Probe, Result
from sandbox.scorecard import Finding, Verdict, show


def test_a_container_that_no_probe_can_join_is_unproven_wall_by_wall() -> None:
    found = list(check.unmet(container(), EngineError("no probe starts beside it")))
    assert [one.wall for one in found] == list(check.WALLS)
    assert {one.verdict for one in found} == {Verdict.UNPROVEN}


def test_processes_that_are_the_hosts_are_an_open_wall_and_no_probe_goes_there() -> None:
    shared = container(PidMode="host")
    with pytest.raises(EngineError, match="no probe goes there"), engine.beside("image", shared):
        pass
    found = {one.wall: one for one in check.unmet(shared, EngineError("x"))}
    assert found["namespaces"].verdict is Verdict.OPEN
    assert found["user"].verdict is Verdict.UNPROVEN


def test_what_breaks_off_leaves_the_rest_unproven_with_the_reason() -> None:
    subject = subjects.Subject(container(), Probe("0"), facts(), own_facts(), {})

    def part(_: subjects.Subject) -> Iterator[Finding]:
        yield Finding("retriever", "user", Verdict.OPEN, "root")
        raise EngineError("the container has ended")

    assert check.tried(part, ("user", "seccomp"), subject) == [
        Finding("retriever", "user", Verdict.OPEN, "root"),
        Finding("retriever", "seccomp", Verdict.UNPROVEN, "the container has ended"),
    ]


def test_without_the_image_of_the_probes_there_is_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "containers", lambda project: [container("qdrant")])
    with pytest.raises(EngineError, match="ingress is not running"):
        check.check("bulkhead")


def test_a_stack_that_does_not_run_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "docker", lambda *command: Result(0, ""))
    with pytest.raises(EngineError, match="docker compose up"):
        engine.containers("bulkhead")


def test_the_scorecard_shows_every_wall_and_says_what_does_not_hold_once() -> None:
    findings = [
        Finding("tempo", "user", Verdict.HOLDS, "user 10001"),
        Finding("tempo", "fork bomb", Verdict.UNPROVEN, "nothing in its image can try"),
        Finding("tempo", "user namespace", Verdict.UNPROVEN, "nothing in its image can try"),
        Finding("qdrant", "user", Verdict.OPEN, "python: root"),
        Finding("qdrant", "kernel", Verdict.ABSENT, "this machine's, by runc"),
    ]
    screen = Console(file=StringIO(), width=80)
    show(findings, screen, every=False)
    assert isinstance(screen.file, StringIO)
    lines = screen.file.getvalue().splitlines()
    assert lines[-2:] == [
        "tempo · fork bomb, user namespace · unproven: nothing in its image can try",
        "qdrant · user · open: python: root",
    ]
    assert any("OPEN" in line and "qdrant" in line for line in lines)
