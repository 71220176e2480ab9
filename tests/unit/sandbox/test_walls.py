"""Which facts of a container the sandbox check calls an open wall; tests/stack reads real ones."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from walled import Json, container, facts, own_facts

from sandbox import walls
from sandbox.judging import Look, Seen, judged
from sandbox.scorecard import Finding, Verdict

Change = Callable[[Json], Any]


def found(target: Json, own: Json) -> dict[str, Finding]:
    return {one.wall: one for one in walls.read(container(), target, own)}


def second(facts: Json) -> Json:
    """The process that is not the first."""
    process: Json = facts["processes"][1]
    return process


def test_the_facts_of_a_container_with_every_wall_hold() -> None:
    assert {one.verdict for one in found(facts(), own_facts()).values()} == {Verdict.HOLDS}


OPENED: list[tuple[str, Change, str]] = [
    ("user", lambda f: second(f).update(users=[10001, 0, 10001, 10001]), "python: root"),
    ("user", lambda f: second(f).update(groups=[10001, 10001, 10001, 10001, 0]), "python: root"),
    ("capabilities", lambda f: second(f)["capabilities"].update(CapEff=1), "python: capab"),
    ("capabilities", lambda f: second(f)["capabilities"].update(CapBnd=1 << 13), "python: capab"),
    ("capabilities", lambda f: second(f)["capabilities"].update(CapAmb=1), "python: capab"),
    ("new privileges", lambda f: second(f).update(no_new_privileges=False), "python: new priv"),
    ("seccomp", lambda f: second(f).update(seccomp=0), "python: no filter"),
    ("seccomp", lambda f: second(f).update(seccomp=1), "python: no filter"),
    ("limits", lambda f: f["limits"].update(pids=None), "no limit on pids"),
    ("limits", lambda f: f["limits"].update(memory=None), "no limit on memory"),
    ("limits", lambda f: f["limits"].update(cpu=None), "no limit on cpu"),
    ("limits", lambda f: f["limits"].update(swap=None), "no limit on swap"),
    ("limits", lambda f: f["limits"].update(swap=2**30), "1024 MiB of swap"),
    ("limits", lambda f: f["limits"].pop("swap"), "no limit on swap"),
    ("limits", lambda f: f["limits"].update(files=1048576), "1048576 open files"),
    ("limits", lambda f: f["limits"].update(files=None), "any number of open files"),
    ("limits", lambda f: f["limits"].update(core=None), "dumps core"),
]


@pytest.mark.parametrize(("wall", "change", "words"), OPENED)
def test_an_open_wall_is_named_with_what_is_open(wall: str, change: Change, words: str) -> None:
    target = facts()
    change(target)

    findings = found(target, own_facts())

    assert findings[wall].verdict is Verdict.OPEN
    assert words in findings[wall].evidence
    others = {one.verdict for name, one in findings.items() if name != wall}
    assert others == {Verdict.HOLDS}


def test_every_wall_that_is_read_has_a_case_that_is_open() -> None:
    assert set(walls.READ) == {name for name, _, _ in OPENED}


@pytest.mark.parametrize("wall", sorted(walls.READ))
def test_a_look_that_finds_the_probe_walled_in_too_proves_nothing(wall: str) -> None:
    finding = found(facts(), facts())[wall]
    assert finding.verdict is Verdict.UNPROVEN
    assert "where nothing is walled in" in finding.evidence


def test_a_container_of_which_no_process_was_seen_proves_nothing() -> None:
    findings = found(facts() | {"processes": []}, own_facts())
    assert findings["user"].verdict is findings["seccomp"].verdict is Verdict.UNPROVEN


def test_a_control_group_that_does_not_say_its_limits_proves_nothing() -> None:
    target = copy.deepcopy(facts())
    del target["limits"]["pids"]
    finding = found(target, own_facts())["limits"]
    assert (finding.verdict, finding.evidence) == (
        Verdict.UNPROVEN,
        "its control group does not say: pids",
    )


def test_a_namespace_that_another_has_too_is_open_and_the_probe_shows_one() -> None:
    mine, others = facts()["namespaces"], {"qdrant": {"ipc": "ipc:[2]", "pid": "pid:[2]"}}
    joined = walls.namespaces(own_facts()["namespaces"], {"retriever": mine})

    held = judged(container(), "namespaces", Look(walls.namespaces(mine, others), joined))
    assert held.verdict is Verdict.HOLDS
    assert "shares pid with retriever, shares net with retriever" in held.evidence

    shared = walls.namespaces(mine, others | {walls.HOST: {"ipc": mine["ipc"]}})
    opened = judged(container(), "namespaces", Look(shared, joined))
    assert (opened.verdict, opened.evidence) == (Verdict.OPEN, "shares ipc with this machine")


def test_one_open_look_outweighs_what_is_unknown() -> None:
    own = Seen("", ["open here"])
    looks = [Look(Seen("", unknown=["?"]), own), Look(Seen("", ["a door"]), own)]
    assert judged(container(), "w", *looks) == Finding("retriever", "w", Verdict.OPEN, "a door")
    assert judged(container(), "w", looks[0]).verdict is Verdict.UNPROVEN
