"""What this machine has to spare. Standard library only: bootstrap.py runs before any install."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

GIB = 2**30


def free_disk(path: Path) -> int:
    """Bytes free where `path` is, or is going to be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def available_memory(system: Path = Path("/")) -> int:
    """Bytes that new processes can take without swapping, within any control group's limit.

    `system` is the root that /proc and /sys are looked up under. Where there is no /proc (macOS)
    it is all of the machine's memory: the standard library knows no better.
    """
    try:
        meminfo = (system / "proc/meminfo").read_text(encoding="ascii")
    except FileNotFoundError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fields = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    available = int(fields["MemAvailable"].split()[0]) * 1024
    return max(0, min([available, *_group_headrooms(system)]))


def _group_headrooms(system: Path) -> list[int]:
    """For every control group that this process is in, its limit less what it holds, in bytes."""
    try:
        lines = (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    rooms = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            top, names = system / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):  # version 1
            top = system / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = top / path.lstrip("/")
        # In a container the path may name a group of the host's; the container's own is the top.
        for folder in (group, *group.parents):
            if folder == top or top in folder.parents:
                rooms += _headroom(folder, *names)
    return rooms


def _headroom(folder: Path, limit: str, usage: str, reclaimable: str) -> list[int]:
    """One group's limit less its use; file cache that can be dropped is not counted as used."""
    try:
        most = (folder / limit).read_text(encoding="ascii").strip()
        used = int((folder / usage).read_text(encoding="ascii"))
        stat = (folder / "memory.stat").read_text(encoding="ascii")
    except OSError:
        return []  # no memory controller here
    if most == "max":
        return []
    cache = dict(line.split(" ", 1) for line in stat.splitlines())
    return [int(most) - used + int(cache.get(reclaimable, 0))]
