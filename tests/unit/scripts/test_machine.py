"""How much memory there is, inside control groups of both versions and without any."""

from pathlib import Path

import pytest

from diagnosis.machine import GIB, available_memory, free_disk


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal:       16777216 kB\nMemAvailable:    8388608 kB\n"
V2 = {
    "proc/meminfo": MEMINFO,
    "proc/self/cgroup": "0::/slice/unit\n",
    "sys/fs/cgroup/cgroup.controllers": "memory\n",
    "sys/fs/cgroup/slice/memory.max": f"{3 * GIB}\n",
    "sys/fs/cgroup/slice/memory.current": f"{2 * GIB}\n",
    "sys/fs/cgroup/slice/memory.stat": f"anon 5\ninactive_file {GIB // 2}\n",
    "sys/fs/cgroup/slice/unit/memory.max": "max\n",
    "sys/fs/cgroup/slice/unit/memory.current": f"{GIB}\n",
    "sys/fs/cgroup/slice/unit/memory.stat": "anon 5\n",
}


def test_without_a_limit_it_is_what_the_kernel_says(tmp_path: Path) -> None:
    assert available_memory(write(tmp_path, {"proc/meminfo": MEMINFO})) == 8 * GIB


def test_the_limit_of_a_group_above_counts_and_its_file_cache_does_not(tmp_path: Path) -> None:
    assert available_memory(write(tmp_path, V2)) == 3 * GIB // 2


def test_a_group_of_version_1_counts_too(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/\n",
        # In a container the group's own path is not there; the top is the container's own.
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}",
        "sys/fs/cgroup/memory/memory.stat": "cache 1\ntotal_inactive_file 0\n",
    }
    assert available_memory(write(tmp_path, files)) == GIB


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    over = V2 | {"sys/fs/cgroup/slice/memory.current": f"{4 * GIB}\n"}
    assert available_memory(write(tmp_path, over)) == 0


@pytest.mark.parametrize("below", ["", "not/made/yet"])
def test_free_disk_is_told_for_folders_that_are_still_to_be_made(
    tmp_path: Path, below: str
) -> None:
    assert free_disk(tmp_path / below) > 0


def test_this_machine_has_some_memory() -> None:
    assert available_memory() > 0
