"""A real disk that is small: a file system of its own, mounted for a test, that can be filled.

Needs root and the right to mount; without them the test is skipped.
"""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_BLOCK = 4096


class SmallDisk:
    """The root of a mounted file system."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ballast = root / "ballast"

    def fill(self) -> None:
        """Leave no block free."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for size in (2**20, _BLOCK):
                try:
                    while True:
                        ballast.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Take away what filled it."""
        self._ballast.unlink()

    def forbid(self) -> None:
        """Make it read-only, while no file in it is open for writing."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.root)], check=True)

    def fail(self) -> None:
        """Have the file system find an error in itself, at which it takes no more writes."""
        device = self.root.stat().st_dev
        name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
        Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("1")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


@contextmanager
def _mounted(root: Path, *arguments: str) -> Iterator[SmallDisk]:
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    root.mkdir()
    _run("mount", *arguments, str(root))
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


@contextmanager
def small_disk(root: Path, size: str) -> Iterator[SmallDisk]:
    """A file system in memory, of so many bytes ("16m")."""
    with _mounted(root, "-t", "tmpfs", "-o", f"size={size}", "tmpfs") as disk:
        yield disk


@contextmanager
def failing_disk(root: Path, size: str) -> Iterator[SmallDisk]:
    """An ext4 in a file, which turns read-only at the first error it finds."""
    image = root.with_suffix(".img")
    subprocess.run(["truncate", f"--size={size}", str(image)], check=True)
    _run("mkfs.ext4", "-q", str(image))
    with _mounted(root, "-o", "loop,errors=remount-ro", str(image)) as disk:
        yield disk
