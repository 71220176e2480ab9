"""How many cores this process gets, by its affinity and by its container's share."""

import os
from pathlib import Path


def cores(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The whole cores at hand, at least one. More threads would be stopped together for a while.

    `limit` is cgroup v2's file, "QUOTA PERIOD" in microseconds or "max PERIOD".
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    there = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = limit.read_text(encoding="ascii").split()
        return max(1, min(there, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max": nobody set a limit
        return there
