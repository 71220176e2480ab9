"""What the kernel says of a container: its processes, namespaces, mounts, limits and open ports.

    facts.py [PID]

Runs in a container that has joined the other's processes and network. Prints `{"target": …,
"own": …}`: the same of this program itself, which has no walls, shows what an open one looks like.
With a PID the target is who is in that process's control groups: whoever runs a kernel for the
other. Run in a container that has a kernel of its own, `own` is that kernel's word.
"""

import ctypes
import ipaddress
import json
import re
import sys
from collections.abc import Callable, Iterator
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
_GET_NO_NEW_PRIVS = 39
CGROUPS = "/cgroups"
"""Where the engine's control groups are mounted, in a container beside the other."""


def namespace(pid: str, kind: str) -> str:
    """The name that the kernel gives to one of a process's namespaces."""
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


def processes(counts: Callable[[str], bool]) -> Iterator[str]:
    """The id of every process here that counts."""
    for entry in sorted(Path("/proc").iterdir()):
        try:
            if entry.name.isdigit() and counts(entry.name):
                yield entry.name
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile


def process(status: str) -> Json:
    """What `/proc/PID/status` says of who a process is and what it may do."""
    said = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {
        "name": said["Name"].strip(),
        "users": [int(one) for one in said["Uid"].split()],
        "groups": [int(one) for one in (said["Gid"] + said["Groups"]).split()],
        "capabilities": {name: int(said[name], 16) for name in _CAPABILITIES if name in said},
        # gVisor's older releases have no line for it, and answer the call.
        "no_new_privileges": said["NoNewPrivs"].strip() == "1" if "NoNewPrivs" in said else bound(),
        "seccomp": int(said["Seccomp"]),
    }


def bound() -> bool:
    """Whether this program can get no new privileges; it was started as others are here."""
    return bool(ctypes.CDLL(None).prctl(_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)


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


def limits(cgroup: str, mounted: str = CGROUPS) -> Json:
    """The limits that the kernel holds for who is in these groups (`/proc/PID/cgroup`); `None` for
    none."""
    groups = {}
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    found: Json = {}
    for name, (two, one) in _LIMITS.items():
        controller, file = one.split("/")
        second = Path(f"{mounted}{groups.get('')}/{two}")
        first = Path(f"{mounted}/{controller}{groups.get(controller)}/{file}")
        if second.is_file():
            found[name] = limit(second.read_text())
        elif first.is_file():
            found[name] = limit(first.read_text())
            if name == "swap" and found[name] is not None:
                found[name] -= found["memory"] or 0  # version 1 counts memory and swap together
    if not has_swap():
        found["swap"] = 0
    return found


def has_swap() -> bool:
    """Whether this machine has any."""
    told = Path("/proc/swaps")
    return told.is_file() and len(told.read_text().splitlines()) > 1


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


def groups(pid: str) -> str:
    """The control groups of a process, as the kernel tells them; none where it has ended."""
    path = Path(f"/proc/{pid}/cgroup")
    return path.read_text() if path.is_file() else ""


def facts(pid: str, counts: Callable[[str], bool]) -> Json:
    """All that is read of one container by one of its processes; `counts` says which are its."""
    theirs = []
    for one in processes(counts):
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
        "limits": limits(groups(pid)) | own_limits(Path(f"/proc/{pid}/limits").read_text()),
    }


def main() -> None:
    """Print everything."""
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    ports = [one for table in tables if table.is_file() for one in listening(table.read_text())]
    addresses = Path("/proc/net/if_inet6")
    six = addresses.read_text().splitlines() if addresses.is_file() else []
    pid = sys.argv[1] if len(sys.argv) > 1 else ""

    def mine(one: str) -> bool:
        if pid:  # among this machine's processes there are some that even root may not look at
            return groups(one) == groups("self")
        return namespace(one, "mnt") == namespace("self", "mnt")

    def theirs(one: str) -> bool:
        return groups(one) == groups(pid) if pid else not mine(one)

    target = facts(pid or "1", theirs) | {
        "listening": ports,
        "inet6": [line.split()[-1] for line in six if line.split()[-1] != "lo"],
    }
    print(json.dumps({"target": target, "own": facts("self", mine)}))


if __name__ == "__main__":
    main()
