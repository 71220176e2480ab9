"""What the kernel says of a container: its processes, namespaces, mounts, limits and open ports.

Runs in a container that has joined the other's processes and network. Prints `{"target": …,
"own": …}`: the same of this program itself, which has no walls, shows what an open one looks like.
"""

import ipaddress
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
NAMESPACES = ("pid", "net", "mnt", "ipc", "uts")
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_STARTING = "runc:["
_LISTENS = "0A"  # the state in /proc/net/tcp
# By what it limits, where version 2 of the control groups has it, and where version 1.
_LIMITS = {
    "pids": ("pids.max", "pids/pids.max"),
    "memory": ("memory.max", "memory/memory.limit_in_bytes"),
    "cpu": ("cpu.max", "cpu/cpu.cfs_quota_us"),
    "swap": ("memory.swap.max", "memory/memory.memsw.limit_in_bytes"),
}
_NO_LIMIT = 2**60  # version 1 says a number of pages near 2**63


def namespace(pid: str, kind: str) -> str:
    """The name that the kernel gives to one of a process's namespaces."""
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


def processes() -> Iterator[tuple[str, str]]:
    """The id of every process here, with the mount namespace that tells whose it is."""
    for entry in sorted(Path("/proc").iterdir()):
        if entry.name.isdigit():
            try:
                yield entry.name, namespace(entry.name, "mnt")
            except FileNotFoundError:
                continue  # it ended meanwhile


def process(status: str) -> Json:
    """What `/proc/PID/status` says of who a process is and what it may do."""
    said = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {
        "name": said["Name"].strip(),
        "users": [int(one) for one in said["Uid"].split()],
        "groups": [int(one) for one in (said["Gid"] + said["Groups"]).split()],
        "capabilities": {name: int(said[name], 16) for name in _CAPABILITIES},
        "no_new_privileges": said["NoNewPrivs"].strip() == "1",
        "seccomp": int(said["Seccomp"]),
    }


def mounts(mountinfo: str) -> list[Json]:
    """Each mount of `/proc/PID/mountinfo`, the topmost of each place, with its options."""
    found = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        at, options = before.split()[4:6]
        kind, _, of_all = after.split()
        at = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), at)
        found[at] = {"at": at, "kind": kind, "options": [*options.split(","), *of_all.split(",")]}
    return list(found.values())


def limit(text: str) -> int | None:
    """A limit of a control group; `None` for none."""
    number = text.split()[0]
    if number in ("max", "-1") or int(number) >= _NO_LIMIT:
        return None
    return int(number)


def limits(root: str) -> Json:
    """The limits that the kernel holds for whoever has this root; `None` for none."""
    found: Json = {}
    for name, places in _LIMITS.items():
        for place in places:
            path = Path(f"{root}/sys/fs/cgroup/{place}")
            if path.is_file():
                found[name] = limit(path.read_text())
                if name == "swap" and place == places[1] and found[name] is not None:
                    found[name] -= found["memory"] or 0  # version 1 counts memory and swap together
    if not has_swap():
        found["swap"] = 0
    return found


def has_swap() -> bool:
    """Whether this machine has any."""
    return len(Path("/proc/swaps").read_text().splitlines()) > 1


def own_limits(text: str) -> Json:
    """`/proc/PID/limits`: the hard limits on files and on the size of a core."""
    hard = {}
    for name, words in (("files", "Max open files"), ("core", "Max core file size")):
        said = re.search(rf"^{words}\s+\S+\s+(\S+)", text, re.MULTILINE)
        hard[name] = int(said[1]) if said and said[1].isdigit() else None
    return hard


def listening(table: str) -> list[tuple[str, int]]:
    """Who listens, by `/proc/net/tcp` or `tcp6`: the address and port of each socket."""
    found = []
    for line in table.splitlines()[1:]:
        place, state = line.split()[1], line.split()[3]
        if state == _LISTENS:
            address, port = place.split(":")
            words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
            at = ipaddress.ip_address(b"".join(words))
            found.append((str(getattr(at, "ipv4_mapped", None) or at), int(port, 16)))
    return found


def facts(pid: str, mine: bool) -> Json:
    """All that is read of one container: this one's, or the other's by its first process."""
    own = namespace("self", "mnt")
    theirs = []
    for one, mounted in processes():
        if (mounted == own) is mine:
            try:
                theirs.append(process(Path(f"/proc/{one}/status").read_text()))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
    # The engine puts the walls up around a process, as that of a health check, before it runs it.
    theirs = [one for one in theirs if not one["name"].startswith(_STARTING)]
    return {
        "processes": theirs,
        "namespaces": {kind: namespace(pid, kind) for kind in NAMESPACES},
        "mounts": mounts(Path(f"/proc/{pid}/mountinfo").read_text()),
        "limits": limits(f"/proc/{pid}/root") | own_limits(Path(f"/proc/{pid}/limits").read_text()),
    }


def main() -> None:
    """Print everything."""
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    ports = [one for table in tables if table.is_file() for one in listening(table.read_text())]
    addresses = Path("/proc/net/if_inet6")
    six = addresses.read_text().splitlines() if addresses.is_file() else []
    target = facts("1", mine=False) | {
        "listening": ports,
        "inet6": [line.split()[-1] for line in six if line.split()[-1] != "lo"],
    }
    print(json.dumps({"target": target, "own": facts("self", mine=True)}))


if __name__ == "__main__":
    main()
