"""Which kernel stands behind a container, and what counts where it has one of its own."""

from typing import Any

import pytest
from walled import container, facts, own_facts

from sandbox import engine, kernels, runs, subjects
from sandbox.engine import EngineError, Probe, Result
from sandbox.mounts import bounded, read_only
from sandbox.scorecard import Finding, Verdict
from sandbox.walls import read

MACHINE = {"version": "Linux version 6.12", "boot": "a", "log": ""}
GVISOR = {"version": "Linux version 4.4.0", "boot": "b", "log": "Starting gVisor..."}
OWN: dict[str, dict[str, Any]] = {
    "processes": {"control": "OK", "attempt": "OK", "count": 65},
    "user namespace": {"control": "OK", "attempt": "OK"},
}


def test_a_kernel_of_its_own_holds_and_is_named_with_its_runtime() -> None:
    found = kernels.judge(container(Runtime="runsc"), GVISOR, MACHINE, MACHINE)
    assert found.verdict is Verdict.HOLDS
    assert found.evidence.startswith("runsc: Linux version 4.4.0, whose log begins with 'Starting")


def test_a_runtime_that_leaves_a_container_on_this_machines_kernel_is_open() -> None:
    found = kernels.judge(container(Runtime="crun"), MACHINE, MACHINE, MACHINE)
    assert (found.verdict, found.evidence) == (Verdict.OPEN, "this machine's, Linux version 6.12")


def test_where_nobody_asks_for_a_runtime_there_is_no_wall_and_none_is_open() -> None:
    found = kernels.judge(container(Runtime="runc"), None, MACHINE, MACHINE)
    assert found.verdict is Verdict.ABSENT
    assert found.evidence == "this machine's, by runc: no other is asked for"


def test_a_look_that_finds_another_kernel_in_the_probe_proves_nothing() -> None:
    found = kernels.judge(container(Runtime="runsc"), GVISOR, MACHINE, MACHINE | {"boot": "c"})
    assert found.verdict is Verdict.UNPROVEN


def test_kernels_are_told_apart_by_their_starts_and_without_these_by_their_versions() -> None:
    assert kernels.same(MACHINE, MACHINE)
    assert not kernels.same(MACHINE, MACHINE | {"boot": "b"}), "the same version in a machine in it"
    assert kernels.same(MACHINE | {"version": "other"}, MACHINE)
    assert kernels.same(MACHINE | {"boot": ""}, MACHINE)
    assert not kernels.same(GVISOR | {"boot": ""}, MACHINE)


class Answers(Probe):
    """A probe that has an answer to each program."""

    def __init__(self, **told: Any) -> None:
        super().__init__("0")
        self.told = told

    def ask(self, program: str, *arguments: str, seconds: float = 60) -> Any:
        return self.told[program.removesuffix(".py")]


INNER = facts() | {"namespaces": {"pid": "pid:[1]"}}
del INNER["listening"], INNER["inet6"]
INNER["limits"] = {"files": 512, "core": 0, "swap": 5}
INNER["processes"][1]["seccomp"] = 0
"""gVisor takes no filter into itself: it is behind one."""


def subject(monkeypatch: pytest.MonkeyPatch, kernel: Any, apart: bool) -> subjects.Subject:
    texts = {"environments": "E", "command lines": "C"}
    hidden = {"environments": "", "command lines": "", "secrets": ["s"], "modes": {}}
    around = {"processes": [], "listening": [["0.0.0.0", 8091]], "inet6": []}
    word = {"target": around, "own": INNER}
    inner = Answers(kernel=kernel, facts=word, texts={"target": hidden, "own": texts})
    monkeypatch.setattr(subjects, "within", lambda container: inner)
    beside = {"target": facts(), "own": own_facts()}
    probe = Answers(kernel=MACHINE, facts=beside, texts={"target": {}, "own": {}})
    one = container(Runtime="runsc")
    one.facts["State"] = {"Pid": 7}
    return subjects.Subject.met(one, probe, kernel, apart)


def test_a_kernel_of_its_own_is_asked_itself_but_for_what_this_machines_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    met = subject(monkeypatch, GVISOR, True)
    assert met.kernel == GVISOR and met.outside == facts()
    # The processes of whoever runs that kernel are among this machine's.
    wanted = {kind: name for kind, name in facts()["namespaces"].items() if kind != "pid"}
    assert met.facts["namespaces"] == wanted
    assert met.facts["limits"] == facts()["limits"] | {"files": 512}
    assert met.facts["listening"] == [["0.0.0.0", 8080], ["0.0.0.0", 8091]]
    assert met.texts["target"] == {
        "environments": "E", "command lines": "C", "secrets": ["s"], "modes": {},
    }  # fmt: skip
    found = {one.wall: one for one in read(met.container, met.facts, met.own, met.outside)}
    assert found["seccomp"].verdict is Verdict.HOLDS, "this machine's filter counts"


@pytest.mark.parametrize("kernel", [None, MACHINE])
def test_whoever_shares_this_machines_kernel_is_looked_at_from_beside(
    monkeypatch: pytest.MonkeyPatch, kernel: Any
) -> None:
    met = subject(monkeypatch, kernel, False)
    assert (met.kernel, met.outside, met.facts) == (kernel, None, facts())
    assert met.reaching is met.probe


def test_a_kernel_is_asked_for_where_another_runtime_than_the_engines_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernels, "within", lambda container: Answers(kernel=GVISOR))
    assert kernels.asked(container(Runtime="runsc"), "runc") == GVISOR
    assert kernels.asked(container(Runtime="runc"), "runc") is None
    assert kernels.asked(container(), "runc") is None


def test_the_files_of_a_kernel_of_its_own_are_not_this_machines() -> None:
    told = facts()
    for one in told["mounts"]:
        if one["at"] in ("/sys", "/proc/sys"):
            one["options"] = ["rw"]
        if one["at"] == "/tmp":
            one["options"] = ["rw", "noexec", "size=64m"]
    volumes = {"/data": "volume"}
    assert len(read_only(told, volumes).opened) == 2
    assert not read_only(told, volumes, own_kernel=True).opened
    assert len(bounded(told).opened) == 2 and not bounded(told, own_kernel=True).opened
    told["mounts"][0]["options"] = ["rw"]
    assert read_only(told, volumes, own_kernel=True).opened == ["/ can be written"]


def judge(
    monkeypatch: pytest.MonkeyPatch, bomb: Any, states: list[str], tool: str | None = "python3"
) -> dict[str, Finding]:
    def inside(_: Any, tool: str, most: int) -> Any:
        if most and isinstance(bomb, EngineError):
            raise bomb
        return {"user namespace": OWN["user namespace"], "processes": bomb}

    one = container(Runtime="runsc")
    one.facts["State"] = {"Pid": 7}
    monkeypatch.setattr(runs, "inside", inside)
    monkeypatch.setattr(runs, "_RESTART_SECONDS", 5 if len(states) > 1 else 0.1)
    monkeypatch.setattr("sandbox.runs.time.sleep", lambda seconds: None)

    def docker(*command: str) -> Result:
        return Result(0, states.pop(0) if len(states) > 1 else states[0])

    monkeypatch.setattr(runs, "docker", docker)
    return {found.wall: found for found in runs.judge_own_kernel(one, tool, 64, OWN)}


def test_a_kernel_that_ends_at_its_limit_and_is_started_anew_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = EngineError("the probe ended early")
    found = judge(monkeypatch, ended, ["true 7", "false 0", "true 9"])
    assert {one.verdict for one in found.values()} == {Verdict.HOLDS}
    assert "its kernel ended" in found["fork bomb"].evidence
    assert "of its own kernel's" in found["user namespace"].evidence
    assert judge(monkeypatch, ended, ["true 7"])["fork bomb"].verdict is Verdict.UNPROVEN


def test_processes_without_end_are_open_and_a_refusal_holds_in_a_kernel_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    through = OWN["processes"]
    assert judge(monkeypatch, through, ["true 7"])["fork bomb"].verdict is Verdict.OPEN
    refused = through | {"attempt": "EAGAIN"}
    assert judge(monkeypatch, refused, ["true 7"])["fork bomb"].verdict is Verdict.HOLDS


def test_without_a_python_in_the_image_both_are_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judge(monkeypatch, OWN["processes"], ["true 7"], None)
    assert {one.verdict for one in found.values()} == {Verdict.UNPROVEN}


def test_the_python_of_the_container_is_run_as_its_user_or_as_root_with_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def docker(*command: str, **_: Any) -> Result:
        asked.append(command)
        return Result(0, "{}")

    monkeypatch.setattr(engine, "docker", docker)
    one = container()
    engine.within(one).ask("kernel.py")
    engine.within(one, root=True).ask("kernel.py")
    assert asked[0][:4] == ("exec", "--interactive", one.id, "python3")
    assert asked[1][:5] == ("exec", "--interactive", "--privileged", "--user=0:0", one.id)
