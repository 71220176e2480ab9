"""The walls that mounts are: what can be written, run or filled, and whose sockets are there."""

import json
import re
from collections.abc import Iterator

from sandbox.engine import Container, Json, Probe
from sandbox.judging import Look, Seen, judged
from sandbox.scorecard import Finding

# Of the kernel: read only as a whole, or, like /dev, for root alone to write, which nobody is.
_KERNEL = re.compile(r"/(proc|sys|dev)(/(?!shm$).*)?")
_MUST_BE_READ_ONLY = ("/sys", "/proc/sys")
# What others fill and a service only reads.
_TO_BE_READ = {"/run/secrets", "/models", "/files", "/etc/bulkhead"}
# Where code is compiled at the start and then loaded; compose.yaml says why.
_RUNS = {"/home/vllm"}
_MOST_FILLED = 512 * 2**20  # bytes: a tmpfs that may be larger is judged by its size alone
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


def _mounts(facts: Json) -> dict[str, Json]:
    return {one["at"]: one for one in facts["mounts"]}


def _given(mounts: dict[str, Json]) -> dict[str, Json]:
    """What is mounted beside what the kernel needs."""
    return {at: one for at, one in mounts.items() if not _KERNEL.fullmatch(at)}


def _tmpfs(facts: Json) -> dict[str, Json]:
    """Each tmpfs that can be written."""
    return {
        at: one
        for at, one in _given(_mounts(facts)).items()
        if one["kind"] == "tmpfs" and "ro" not in one["options"]
    }


def _size(mount: Json) -> int | None:
    """The bytes that a tmpfs may hold, if that is bounded."""
    for option in mount["options"]:
        if found := re.fullmatch(r"size=(\d+)([kmg]?)", option):
            return int(found[1]) * _UNITS.get(found[2], 1)
    return None


def read_only(facts: Json, volumes: dict[str, str], own_kernel: bool = False) -> Seen:
    """The root, the kernel's own files, and all that is mounted but volumes to write and tmpfs.

    `volumes` is the kind of each place that the engine says can be written. The files of a kernel
    of its own are not this machine's to guard.
    """
    mounts = _mounts(facts)
    writable = {at for at, one in mounts.items() if "ro" not in one["options"]}
    guarded = () if own_kernel else _MUST_BE_READ_ONLY
    opened = [f"{at} can be written" for at in guarded if at in writable]
    bound = {at for at, kind in volumes.items() if kind == "bind"}
    for at in sorted(writable & set(_given(mounts)) - (set(_tmpfs(facts)) - bound)):
        if volumes.get(at) != "volume" or at in _TO_BE_READ:
            opened.append(f"{at}{' of the host' * (at in bound)} can be written")
    missing = [f"{at} is no mount" for at in ("/", *guarded) if at not in mounts]
    rest = ", ".join(sorted(set(volumes) | set(_tmpfs(facts)))) or "nothing"
    return Seen(f"{rest} can be written", opened, missing)


def bounded(facts: Json, own_kernel: bool = False) -> Seen:
    """Each tmpfs has a size, and neither programs, devices nor set-user-id bits count there.

    Devices and users of a kernel of its own are not this machine's; gVisor names neither option.
    """
    opened = []
    for at, one in _tmpfs(facts).items():
        wanted = set() if own_kernel else {"nosuid", "nodev"}
        wanted |= set() if at in _RUNS else {"noexec"}
        opened += [f"{at} is not {option}" for option in sorted(wanted - set(one["options"]))]
        if _size(one) is None:
            opened.append(f"{at} has no size")
    sizes = (f"{at} of {(_size(one) or 0) // 1024} KiB" for at, one in _tmpfs(facts).items())
    return Seen(", ".join(sizes), opened, [] if _tmpfs(facts) else ["there is none to look at"])


def attempted(
    outcomes: dict[str, str], refusal: str, deed: str, control: dict[str, str] | None = None
) -> Seen:
    """What attempts came to: each has to be refused, and by the wall's own error.

    `control` is the same deed where there is no such wall: one of it has to get through.
    """
    through = ("OK", "ENOEXEC")
    opened = [f"{deed} {at}" for at, how in outcomes.items() if how in through]
    other = [
        f"{at}: {how} instead of {refusal}"
        for at, how in outcomes.items()
        if how not in (refusal, *through)
    ]
    if not outcomes:
        other.append(f"nothing was there to try: {deed}")
    if control is not None and "OK" not in control.values():
        other.append(f"nothing {deed} a tmpfs either: {control or 'there is none'}")
    return Seen(f"{refusal} at {', '.join(outcomes)}", opened, other)


def sockets(found: list[str], volumes: dict[str, str]) -> Seen:
    """No socket of the host's is here: its engine's would be root on the machine.

    `volumes` is the kind of each place that is mounted: one that is a volume has its own wall.
    """
    opened = [path for path in found if _kind(path, volumes) != "volume"]
    return Seen("no socket of the host", [f"{path} is there" for path in opened])


def _kind(path: str, volumes: dict[str, str]) -> str | None:
    under = [at for at in volumes if path == at or path.startswith(f"{at}/")]
    return volumes[max(under, key=len)] if under else None


class Mounts:
    """What one container's mounts are, what was tried in them, and what came of it."""

    def __init__(
        self, container: Container, facts: Json, own: Json, probe: Probe, inner: Probe | None = None
    ) -> None:
        """Try it all, once; by `inner`, root in the container, where it has a kernel of its own.

        Raises `EngineError`.
        """
        self._container, self._facts, self._own = container, facts, own
        self._own_kernel = inner is not None
        self._kinds = {one["Destination"]: one["Type"] for one in container.facts["Mounts"]}
        self._writable = {
            one["Destination"]: one["Type"] for one in container.facts["Mounts"] if one["RW"]
        }
        given = _given(_mounts(facts))
        sizes = {at: _size(one) or 0 for at, one in _tmpfs(facts).items()}
        path = [
            one[5:] for one in container.facts["Config"]["Env"] or () if one.startswith("PATH=")
        ]
        asked = {
            "write": [at for at, one in given.items() if "ro" in one["options"]],
            "run": [at for at in sizes if at not in _RUNS],
            "fill": {at: size for at, size in sizes.items() if 0 < size <= _MOST_FILLED},
            "sockets": sorted(self._kinds),
            "path": path[0] if path else "/usr/local/bin:/usr/bin:/bin",
        }
        if inner is None:
            both = asked | {"own": True, "root": "/proc/1/root"}
            self._tried = probe.ask("tries.py", json.dumps(both))
        else:
            self._tried = inner.ask("tries.py", json.dumps(asked | {"own": False, "root": "/"}))
            self._tried |= probe.ask("tries.py", json.dumps({"own": True, "root": ""}))

    @property
    def tool(self) -> str | None:
        """What in the image can run a program of ours: a Python or a shell."""
        tool: str | None = self._tried["target"]["tool"]
        return tool

    @property
    def sockets(self) -> list[str]:
        """Every Unix socket in what is mounted."""
        found: list[str] = self._tried["target"]["sockets"]
        return found

    def judge(self) -> Iterator[Finding]:
        """Every wall of the mounts."""
        target, own = self._tried["target"], self._tried["own"]
        yield judged(
            self._container,
            "read only",
            Look(
                read_only(self._facts, self._writable, self._own_kernel), read_only(self._own, {})
            ),
            Look(
                attempted(target["write"], "EROFS", "wrote to", target["control"]),
                attempted(own["write"], "EROFS", "wrote to"),
            ),
        )
        yield judged(
            self._container,
            "tmpfs",
            Look(bounded(self._facts, self._own_kernel), bounded(self._own)),
            Look(
                attempted(target["run"], "EACCES", "ran a file of"),
                attempted(own["run"], "EACCES", "ran a file of"),
            ),
            Look(
                attempted(target["fill"], "ENOSPC", "did not fill"),
                attempted(own["fill"], "ENOSPC", "did not fill"),
            ),
        )
        yield judged(
            self._container,
            "engine socket",
            Look(sockets(target["sockets"], self._kinds), sockets(own["sockets"], {})),
        )
