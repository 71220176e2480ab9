"""The path gate, with any text, over a real root: what it lets pass stays inside."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from files import CANARY, FileRig, plant
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkhead.mcp.tools import ToolError
from mcp_filesystem.beneath import Opener, open_by_openat2, open_by_walk
from mcp_filesystem.paths import parse, show

PIECES = st.sampled_from(
    [
        "..", ".", "", "/", "//", "\\", "~", "%2e", "a.txt", "dir", "b.txt", "link-dir", "link-up",
        "link-root", "link-proc", "link-absolute", "link-loop", "outside", "secret.txt", "etc",
        "passwd", "proc", "self", "root", "fd", "hard", "fifo", "\0", "\n", "\u202e", "\u2215",
        "\uff0f", "C:", "file:", " ", "*",
    ]
)  # fmt: skip
PATHS = st.one_of(
    st.text(max_size=60),
    st.lists(PIECES, max_size=8).map("/".join),
    st.lists(PIECES, max_size=8).map("".join),
)


@pytest.fixture(scope="module", params=[open_by_openat2, open_by_walk], ids=["openat2", "walk"])
def rig(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FileRig]:
    """A root with every way out planted in it."""
    opener: Opener = request.param
    made = FileRig(tmp_path_factory.mktemp("gate"), opener)
    plant(made)
    yield made
    made.folders.close()


@settings(max_examples=2000)
@given(path=PATHS)
async def test_no_text_at_all_reads_or_tells_anything_of_the_outside(
    rig: FileRig, path: str
) -> None:
    for tool in ("read_text", "list_directory", "get_file_info"):
        try:
            told = str(await rig.call(tool, path=path))
        except ToolError as refused:
            told = str(refused)
        assert CANARY not in told
        assert str(Path(rig.root).parent) not in told


@settings(max_examples=2000)
@given(path=PATHS)
def test_what_passes_the_gate_is_plain_names_and_comes_back_the_same(path: str) -> None:
    try:
        names = parse(path)
    except ToolError:
        return
    assert not {"", ".", ".."} & set(names)
    assert not any(set(name) & set("/\\\0\n") for name in names)
    assert parse(show(names)) == names
