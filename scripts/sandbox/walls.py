"""The walls that the kernel tells of: who the processes are, what they may do and use."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sandbox.engine import Container, Json
from sandbox.judging import Look, Seen, judged
from sandbox.scorecard import Finding

_FILTERED = 2  # `Seccomp:` of a process whose system calls go through a filter
_MOST_FILES = 65536
_MIB = 2**20
HOST = "this machine"


def user(facts: Json) -> Seen:
    """No process is root, or in root's group, by any of its ids."""
    return _each(
        facts,
        lambda one: 0 in one["users"] + one["groups"],
        lambda one: f"user {one['users'][0]}",
        "root",
    )


def capabilities(facts: Json) -> Seen:
    """No process has one, nor can get one."""
    return _each(
        facts,
        lambda one: any(one["capabilities"].values()),
        lambda one: "none",
        "capabilities",
    )


def new_privileges(facts: Json) -> Seen:
    """No program that a process starts gets more than it had."""
    return _each(
        facts,
        lambda one: not one["no_new_privileges"],
        lambda one: "none to be had",
        "new privileges to be had",
    )


def seccomp(facts: Json) -> Seen:
    """The system calls of each process go through a filter."""
    return _each(
        facts, lambda one: one["seccomp"] != _FILTERED, lambda one: "filtered", "no filter"
    )


def _each(
    facts: Json, broken: Callable[[Json], bool], seen: Callable[[Json], str], problem: str
) -> Seen:
    processes = facts["processes"]
    if not processes:
        return Seen("", unknown=["no process was seen"])
    opened = [f"{one['name']}: {problem}" for one in processes if broken(one)]
    words = ", ".join(dict.fromkeys(f"{one['name']}: {seen(one)}" for one in processes))
    return Seen(words, list(dict.fromkeys(opened)))


def limits(facts: Json) -> Seen:
    """Processes, memory, swap, processor time, open files and cores are bounded by the kernel."""
    held = facts["limits"]
    opened = [
        f"no limit on {name}"
        for name in ("pids", "memory", "swap", "cpu")
        if name in held and held[name] is None
    ]
    if held.get("swap"):
        opened.append(f"{held['swap'] // _MIB} MiB of swap")
    if held["files"] is None or held["files"] > _MOST_FILES:
        opened.append(f"{held['files'] or 'any number of'} open files")
    if held["core"] != 0:
        opened.append("dumps core")
    missing = [name for name in ("pids", "memory", "cpu") if name not in held]
    if "swap" not in held:
        opened.append("no limit on swap")  # a kernel that does not account for it
    unknown = [f"its control group does not say: {', '.join(missing)}"] if missing else []
    words = f"{held.get('pids')} processes, {(held.get('memory') or 0) // _MIB} MiB, no swap"
    return Seen(f"{words}, {held['files']} files, no core", opened, unknown)


_OF_THIS_MACHINE = {"seccomp"}
"""What this machine's kernel tells of whoever runs a kernel of its own for a container."""
READ: dict[str, Callable[[Json], Seen]] = {
    "user": user,
    "capabilities": capabilities,
    "new privileges": new_privileges,
    "seccomp": seccomp,
    "limits": limits,
}


def read(
    container: Container, target: Json, own: Json, outside: Json | None = None
) -> Iterator[Finding]:
    """Every wall that shows in the facts of one container; `own` are those of the probe in it.

    Where it has a kernel of its own, `target` is that one's word, `outside` this machine's.
    """
    for name, look in READ.items():
        told = outside if outside is not None and name in _OF_THIS_MACHINE else target
        yield judged(container, name, Look(look(told), look(own)))


Spaces = Mapping[str, str]  # the name that the kernel gives to each, by its kind


def namespaces(mine: Spaces, others: Mapping[str, Spaces]) -> Seen:
    """Each is one's own: neither another container's nor this machine's."""
    opened = [
        f"shares {kind} with {who}"
        for who, theirs in others.items()
        for kind, name in mine.items()
        if theirs.get(kind) == name
    ]
    return Seen(f"{', '.join(mine)} of its own", opened)


def of_this_machine() -> Spaces:
    """The namespaces of this process; none where the engine's kernel is another one."""
    folder = Path("/proc/self/ns")
    if not folder.is_dir():
        return {}
    return {kind: str((folder / kind).readlink()) for kind in ("pid", "net", "mnt", "ipc", "uts")}
