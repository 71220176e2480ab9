"""Files that change under the server: links and folders swapped while paths are opened."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from files import CANARY, FileRig
from tool_http import READER

from bulkhead.mcp.tools import ToolError
from mcp_filesystem.beneath import Opener, open_by_openat2, open_by_walk

CALLS = 1000
SWAP = """
import ctypes, os, sys
os.chdir(sys.argv[1])
one, other = (name.encode() for name in sys.argv[2:])
libc = ctypes.CDLL(None)
while libc.renameat2(-100, one, -100, other, 2) == 0:  # RENAME_EXCHANGE: in one step
    pass
"""


@contextmanager
def swapping(folder: Path, one: str, other: str) -> Iterator[None]:
    """Swap two names again and again, in a process of its own: no lock is shared with it."""
    with subprocess.Popen([sys.executable, "-c", SWAP, str(folder), one, other]) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.fixture(params=[open_by_openat2, open_by_walk], ids=["openat2", "walk"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> FileRig:
    """An empty root, once for each way to open."""
    opener: Opener = request.param
    return FileRig(tmp_path, opener)


async def races(rig: FileRig, tool: str, *, refused: int = 10, **arguments: Any) -> None:
    """Call a tool until it both read and refused often; pytest's timeout ends it."""
    reads = refusals = 0
    while reads < 10 or refusals < refused or reads + refusals < CALLS:
        try:
            result = await rig.call(tool, **arguments)
            reads += 1
            assert CANARY not in str(result)
        except ToolError:
            refusals += 1


async def test_a_file_that_becomes_a_link_while_it_is_opened_is_read_or_refused(
    rig: FileRig,
) -> None:
    rig.write("target", "inside\n")
    (rig.root / "link").symlink_to(rig.outside / "secret.txt")
    with swapping(rig.root, "target", "link"):
        await races(rig, "read_text", path="target")


async def test_a_folder_that_becomes_a_link_while_a_file_in_it_is_opened(rig: FileRig) -> None:
    rig.write("dir/secret.txt", "inside\n")
    (rig.root / "link").symlink_to(rig.outside)
    with swapping(rig.root, "dir", "link"):
        await races(rig, "read_text", path="dir/secret.txt")


async def test_a_folder_that_becomes_a_link_while_a_search_walks_it(rig: FileRig) -> None:
    rig.write("dir/secret.txt", "inside canary? no\n")
    (rig.root / "link").symlink_to(rig.outside)
    with swapping(rig.root, "dir", "link"):
        await races(rig, "search_text", refused=0, pattern="canary", context=2)
        await races(rig, "find_files", refused=0, glob="**")


async def test_a_folder_moved_outside_while_paths_go_through_it_leads_nowhere(
    rig: FileRig,
) -> None:
    rig.write("dir/sub/file.txt", "inside\n")
    (rig.outside / "sub").mkdir()
    (rig.outside / "sub" / "file.txt").write_text(CANARY)
    (rig.root / "link").symlink_to("../outside")
    with swapping(rig.root, "dir", "link"):
        await races(rig, "read_text", path="dir/sub/file.txt")


async def test_a_file_that_becomes_a_fifo_holds_up_nobody(rig: FileRig) -> None:
    rig.write("target", "inside\n")
    os.mkfifo(rig.root / "fifo")
    with swapping(rig.root, "target", "fifo"):
        await races(rig, "read_text", path="target")


async def test_what_was_opened_is_what_is_read(rig: FileRig) -> None:
    opened = rig.write("target", "first\n")
    with rig.folders.of(READER) as folder, folder.open_file("target") as fd:
        opened.unlink()
        opened.symlink_to(rig.outside / "secret.txt")
        assert os.pread(fd, 100, 0) == b"first\n"


@pytest.mark.parametrize("opener", [open_by_openat2, open_by_walk], ids=["openat2", "walk"])
@pytest.mark.parametrize(
    "names", [("..",), ("..", "outside", "secret.txt"), ("link", "etc"), ("/etc/passwd",)]
)
def test_an_opener_alone_refuses_what_the_gate_would_have_refused(
    tmp_path: Path, opener: Opener, names: tuple[str, ...]
) -> None:
    (tmp_path / "link").symlink_to("/")
    here = os.open(tmp_path, os.O_PATH)
    try:
        with pytest.raises(OSError) as refused:
            os.close(opener(here, names, os.O_RDONLY))
    finally:
        os.close(here)
    assert refused.value.errno in (errno.EXDEV, errno.ELOOP, errno.ENOTDIR)
