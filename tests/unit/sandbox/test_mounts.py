"""Which mounts, and which attempts in them, the sandbox check calls an open wall."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from walled import VOLUMES, Json, container, facts, own_facts

from sandbox.engine import Probe
from sandbox.mounts import Mounts, read_only
from sandbox.scorecard import Finding, Verdict

OWN = {
    "write": {"/": "OK", "/etc": "OK"},
    "run": {"/open": "ENOEXEC"},
    "fill": {"/open": "OK"},
    "sockets": ["/open/bait.sock"],
}


class Tried(Probe):
    """A probe whose attempts are answered by a test."""

    def __init__(self, target: Json, own: Json) -> None:
        super().__init__("0")
        self.told: Json = {"target": target, "own": own}
        self.asked: Json = {}

    def ask(self, program: str, *arguments: str, seconds: float = 60) -> Json:
        assert program == "tries.py"
        self.asked.update(json.loads(arguments[0]))
        return self.told


def refused() -> Json:
    """What attempts come to where every wall holds."""
    return {
        "write": {"/": "EROFS", "/etc": "EROFS", "/run/secrets": "EROFS"},
        "run": {"/tmp": "EACCES", "/dev/shm": "EACCES"},
        "fill": {"/tmp": "ENOSPC"},
        "sockets": [],
        "control": {"/tmp": "OK"},
        "tool": "sh",
    }


def found(target: Json, tried: Json, own: Json = OWN, **mounted: Any) -> dict[str, Finding]:
    one = container()
    one.facts["Mounts"] += [mounted] if mounted else []
    return {
        finding.wall: finding
        for finding in Mounts(one, target, own_facts(), Tried(tried, own)).judge()
    }


def mount(facts: Json, at: str) -> Json:
    (one,) = (one for one in facts["mounts"] if one["at"] == at)
    found: Json = one
    return found


def test_mounts_without_a_way_to_write_hold() -> None:
    findings = found(facts(), refused())
    assert {one.verdict for one in findings.values()} == {Verdict.HOLDS}
    assert "EROFS at /, /etc, /run/secrets" in findings["read only"].evidence


def writable(at: str) -> Callable[[Json, Json], Any]:
    return lambda target, tried: mount(target, at).update(options=["rw"])


def came(deed: str, at: str, how: str) -> Callable[[Json, Json], Any]:
    return lambda target, tried: tried[deed].update({at: how})


OPENED: list[tuple[str, Callable[[Json, Json], Any], str]] = [
    ("read only", writable("/"), "/ can be written"),
    ("read only", writable("/sys"), "/sys can be written"),
    ("read only", writable("/proc/sys"), "/proc/sys can be written"),
    ("read only", writable("/run/secrets"), "/run/secrets can be written"),
    ("read only", writable("/etc/hosts"), "/etc/hosts can be written"),
    ("read only", came("write", "/etc", "OK"), "wrote to /etc"),
    ("tmpfs", writable("/tmp"), "/tmp is not noexec"),
    ("tmpfs", writable("/tmp"), "/tmp is not nosuid"),
    ("tmpfs", writable("/tmp"), "/tmp is not nodev"),
    ("tmpfs", writable("/tmp"), "/tmp has no size"),
    ("tmpfs", came("run", "/tmp", "ENOEXEC"), "ran a file of /tmp"),
    ("tmpfs", came("fill", "/tmp", "OK"), "did not fill /tmp"),
    ("engine socket", lambda _, tried: tried["sockets"].append("/x/some.sock"), "/x/some.sock"),
]


@pytest.mark.parametrize(("wall", "change", "words"), OPENED)
def test_an_open_wall_is_named_with_what_is_open(
    wall: str, change: Callable[[Json, Json], Any], words: str
) -> None:
    target, tried = facts(), refused()
    change(target, tried)

    findings = found(target, tried)

    assert findings[wall].verdict is Verdict.OPEN
    assert words in findings[wall].evidence


def test_a_folder_of_the_host_that_can_be_written_is_open_also_when_it_is_in_memory() -> None:
    target = facts()
    target["mounts"].append({"at": "/x", "kind": "tmpfs", "options": ["rw", "size=9k"]})
    seen = read_only(target, VOLUMES | {"/x": "bind"})
    assert seen.opened == ["/x of the host can be written"]


def test_a_volume_that_is_there_to_be_read_is_open_when_the_engine_lets_it_be_written() -> None:
    target = facts()
    target["mounts"].append({"at": "/models", "kind": "ext4", "options": ["rw"]})
    assert read_only(target, VOLUMES | {"/models": "volume"}).opened == ["/models can be written"]


def test_a_socket_of_a_volume_is_an_edge_and_not_the_engines() -> None:
    tried = refused() | {"sockets": ["/run/tool/mcp.sock"]}
    mounted: Json = {"Destination": "/run/tool", "Type": "volume", "RW": False, "Source": "/v/t"}
    assert found(facts(), tried, **mounted)["engine socket"].verdict is Verdict.HOLDS
    mounted["Type"] = "bind"
    assert found(facts(), tried, **mounted)["engine socket"].verdict is Verdict.OPEN


@pytest.mark.parametrize(
    ("deed", "wall", "how", "words"),
    [
        ("write", "read only", "EACCES", "EACCES instead of EROFS"),
        ("run", "tmpfs", "ENOENT", "ENOENT instead of EACCES"),
        ("fill", "tmpfs", "EIO", "EIO instead of ENOSPC"),
    ],
)
def test_another_error_than_the_walls_proves_nothing(
    deed: str, wall: str, how: str, words: str
) -> None:
    tried = refused()
    tried[deed]["/tmp"] = how
    finding = found(facts(), tried)[wall]
    assert (finding.verdict, words in finding.evidence) == (Verdict.UNPROVEN, True)


@pytest.mark.parametrize("control", [{}, {"/tmp": "EROFS"}])
def test_a_container_where_no_write_gets_through_proves_nothing(control: dict[str, str]) -> None:
    finding = found(facts(), refused() | {"control": control})["read only"]
    assert finding.verdict is Verdict.UNPROVEN
    assert "a tmpfs either" in finding.evidence


@pytest.mark.parametrize(
    ("deed", "wall"),
    [
        ("write", "read only"),
        ("run", "tmpfs"),
        ("fill", "tmpfs"),
        ("sockets", "engine socket"),
    ],
)
def test_an_attempt_that_the_probe_withstands_too_proves_nothing(deed: str, wall: str) -> None:
    walled = {"write": {"/": "EROFS"}, "run": {"/open": "EACCES"}, "fill": {"/open": "ENOSPC"}}
    own = OWN | {deed: walled.get(deed, [])}
    assert found(facts(), refused(), own)[wall].verdict is Verdict.UNPROVEN


def test_what_can_be_tried_is_tried_and_what_may_run_programs_is_not_run() -> None:
    target = facts()
    target["mounts"] += [
        {"at": "/home/vllm", "kind": "tmpfs", "options": ["rw", "nosuid", "nodev", "size=1g"]},
    ]
    probe = Tried(refused(), OWN)

    Mounts(container(), target, own_facts(), probe)

    assert probe.asked["write"] == ["/", "/run/secrets", "/etc/hosts"]
    assert probe.asked["run"] == ["/dev/shm", "/tmp"]
    assert probe.asked["fill"] == {"/dev/shm": 2**26, "/tmp": 2**26}
    assert probe.asked["path"] == "/usr/bin:/bin"
