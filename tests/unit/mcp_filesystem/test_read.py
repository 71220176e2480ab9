"""read_text: lines and bytes, where to go on, and what is no text."""

from pathlib import Path

import pytest
from files import FileRig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkhead.mcp.tools import ToolError


@pytest.fixture
def rig(tmp_path: Path) -> FileRig:
    """A root with small limits."""
    return FileRig(tmp_path, max_text_bytes=1000, max_file_bytes=100_000)


async def test_a_file_is_read_whole_when_it_fits(rig: FileRig) -> None:
    rig.write("a.md", "one\ntwo\n")
    assert await rig.call("read_text", path="./a.md") == {
        "path": "a.md",
        "text": "one\ntwo\n",
        "unit": "lines",
        "offset": 0,
        "count": 2,
        "total": 2,
        "next_offset": None,
        "replaced_bytes": 0,
    }


async def test_an_empty_file_is_an_empty_text(rig: FileRig) -> None:
    rig.write("empty", "")
    for unit in ("lines", "bytes"):
        told = await rig.call("read_text", path="empty", unit=unit)
        assert (told["text"], told["total"], told["next_offset"]) == ("", 0, None)


@pytest.mark.parametrize("limit", [2**63, 10**400])
@pytest.mark.parametrize("unit", ["lines", "bytes"])
async def test_a_limit_beyond_any_file_reads_what_there_is(
    rig: FileRig, unit: str, limit: int
) -> None:
    rig.write("a", "1\n2\n")
    told = await rig.call("read_text", path="a", unit=unit, limit=limit)
    assert (told["text"], told["next_offset"]) == ("1\n2\n", None)
    with pytest.raises(ToolError, match="behind the end"):
        await rig.call("read_text", path="a", unit=unit, offset=limit)
    assert (await rig.call("list_directory", offset=limit))["entries"] == []


async def test_a_page_of_lines_says_where_the_next_begins(rig: FileRig) -> None:
    rig.write("a", "1\n2\n3\n4")
    page = await rig.call("read_text", path="a", offset=1, limit=2)
    assert (page["text"], page["count"], page["total"], page["next_offset"]) == ("2\n3\n", 2, 4, 3)
    last = await rig.call("read_text", path="a", offset=3)
    assert (last["text"], last["next_offset"]) == ("4", None)


@pytest.mark.parametrize(("unit", "total"), [("lines", "2 lines"), ("bytes", "4 bytes")])
async def test_an_offset_behind_the_end_says_how_long_the_file_is(
    rig: FileRig, unit: str, total: str
) -> None:
    rig.write("a", "1\n2\n")
    for offset in (4, 10**15):
        with pytest.raises(ToolError, match=f"behind the end; the file has {total}"):
            await rig.call("read_text", path="a", offset=offset, unit=unit)


async def test_a_line_that_does_not_fit_is_read_by_bytes(rig: FileRig) -> None:
    rig.write("long", "short\n" + "x" * 5000 + "\n")
    page = await rig.call("read_text", path="long")
    assert (page["text"], page["next_offset"]) == ("short\n", 1)
    with pytest.raises(ToolError, match=r"line 2 alone is longer .* from offset 6 on"):
        await rig.call("read_text", path="long", offset=1)
    part = await rig.call("read_text", path="long", unit="bytes", offset=6)
    assert (part["text"], part["next_offset"]) == ("x" * 1000, 1006)


async def test_a_file_too_large_for_lines_is_read_by_bytes(rig: FileRig) -> None:
    with rig.write("huge", b"").open("wb") as file:
        file.write(b"start\n")
        file.seek(100 * 2**20)
        file.write(b"the end")
    with pytest.raises(ToolError, match=r"larger than 100000 bytes.*unit 'bytes'"):
        await rig.call("read_text", path="huge")


async def test_a_hundred_megabytes_in_one_line_are_read_where_one_asks(tmp_path: Path) -> None:
    rig = FileRig(tmp_path)
    rig.write("line", b"a" * (100 * 2**20))
    told = await rig.call("read_text", path="line", unit="bytes", offset=100 * 2**20 - 5)
    assert (told["text"], told["total"]) == ("aaaaa", 100 * 2**20)


@pytest.mark.parametrize(
    "content", [b"\x7fELF\0\0", b"text\0more", "in UTF-16".encode("utf-16"), b"\0" * 10]
)
async def test_a_binary_file_is_refused(rig: FileRig, content: bytes) -> None:
    rig.write("binary", content)
    for unit in ("lines", "bytes"):
        with pytest.raises(ToolError, match="binary"):
            await rig.call("read_text", path="binary", unit=unit)


async def test_what_is_not_utf8_is_marked_and_counted(rig: FileRig) -> None:
    rig.write("latin", "caf\xe9 \ufffd\n".encode("latin-1", "ignore") + "\ufffd\n".encode())
    told = await rig.call("read_text", path="latin")
    assert told["text"] == "caf\ufffd \n\ufffd\n"
    assert told["replaced_bytes"] == 1


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300),
    limit=st.integers(1, 40),
)
@pytest.mark.parametrize("unit", ["lines", "bytes"])
async def test_pages_put_together_are_the_file(
    rig: FileRig, text: str, limit: int, unit: str
) -> None:
    rig.write("any", text)
    limit = max(limit, 4) if unit == "bytes" else limit  # four bytes hold every character
    parts: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = await rig.call("read_text", path="any", unit=unit, offset=offset, limit=limit)
        assert page["next_offset"] is None or page["next_offset"] > offset
        assert page["replaced_bytes"] == 0
        parts.append(page["text"])
        offset = page["next_offset"]
    assert "".join(parts) == text
