"""list_directory, find_files, search_text, get_file_info: what they find, and their bounds."""

import os
from pathlib import Path
from typing import Any

import pytest
import re2
from files import FileRig
from hypothesis import given
from hypothesis import strategies as st

from bulkhead.mcp.tools import ToolError
from mcp_filesystem.patterns import compile_glob


@pytest.fixture
def rig(tmp_path: Path) -> FileRig:
    """A small project."""
    made = FileRig(tmp_path, max_entries=200, max_depth=5, max_file_bytes=50_000)
    made.write("README.md", "# Harbour\n\nStart here.\n")
    made.write("guides/start.md", "Install it.\nThen start it.\n")
    made.write("guides/deep/down/more.md", "start\n")
    made.write("src/app.py", "def start() -> None:\n    return None\n")
    made.write("logo.png", b"\x89PNG\0start")
    return made


async def test_a_folder_is_listed_by_name_a_page_at_a_time(rig: FileRig) -> None:
    first = await rig.call("list_directory", limit=3)
    assert [(one["name"], one["type"], one["size"]) for one in first["entries"]] == [
        ("README.md", "file", 23),
        ("guides", "directory", None),
        ("logo.png", "file", 10),
    ]
    assert (first["total"], first["next_offset"]) == (4, 3)
    second = await rig.call("list_directory", offset=3, limit=3)
    assert [one["name"] for one in second["entries"]] == ["src"]
    assert second["next_offset"] is None


async def test_a_crowded_folder_is_listed_up_to_its_limit_and_says_so(rig: FileRig) -> None:
    for number in range(300):
        rig.write(f"many/{number:03}", "")
    listing = await rig.call("list_directory", path="many", limit=1000)
    assert len(listing["entries"]) == 200
    assert listing["incomplete"] == "more than 200 entries; name a smaller folder"


async def test_names_that_nobody_could_ask_for_are_left_out(rig: FileRig) -> None:
    for name in (b"\x1b[31mred", b"a\nb", "a\u202eb".encode(), b"\xff\xfe", b"back\\slash"):
        (rig.root / "guides" / os.fsdecode(name)).write_text("x")
    listing = await rig.call("list_directory", path="guides")
    assert [one["name"] for one in listing["entries"]] == ["deep", "start.md"]


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.md", ["README.md", "guides/deep/down/more.md", "guides/start.md"]),
        ("guides/*.md", ["guides/start.md"]),
        ("guides/**/*.md", ["guides/deep/down/more.md", "guides/start.md"]),
        ("**/*.py", ["src/app.py"]),
        ("guides/**", ["guides/deep/down/more.md", "guides/start.md"]),
        ("[a-l]*.png", ["logo.png"]),
        ("[!l]*.png", []),
        ("????.md", ["guides/deep/down/more.md"]),
        ("*.MD", []),
        ("[", []),
        (".*", []),
    ],
)
async def test_files_are_found_by_glob(rig: FileRig, glob: str, found: list[str]) -> None:
    told = await rig.call("find_files", glob=glob)
    assert [file["path"] for file in told["files"]] == found
    assert told["count"] == len(found)
    assert told["incomplete"] is None


async def test_paths_that_are_found_can_be_read(rig: FileRig) -> None:
    for file in (await rig.call("find_files", glob="*.md", path="guides"))["files"]:
        assert (await rig.call("read_text", path=file["path"]))["text"]
    for match in (await rig.call("search_text", pattern="start", path="guides"))["matches"]:
        page = await rig.call("read_text", path=match["path"], offset=match["line"] - 1, limit=1)
        assert page["text"].rstrip("\n") == match["text"]


async def test_more_files_than_asked_for_are_said_to_be_there(rig: FileRig) -> None:
    told = await rig.call("find_files", glob="*", limit=2)
    assert len(told["files"]) == 2
    assert told["incomplete"] == "more than 2 files; narrow the pattern"
    assert (await rig.call("find_files", glob="*", limit=5))["incomplete"] is None


async def test_a_search_shows_lines_numbers_and_what_is_around(rig: FileRig) -> None:
    told = await rig.call("search_text", pattern="then", ignore_case=True, context=1)
    assert told == {
        "matches": [
            {
                "path": "guides/start.md",
                "line": 2,
                "text": "Then start it.",
                "before": ["Install it."],
                "after": [],
            }
        ],
        "files_searched": 4,
        "files_skipped": 1,
        "incomplete": None,
    }


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ({"pattern": "start"}, ["more.md:1", "start.md:2", "app.py:1"]),
        ({"pattern": "START"}, []),
        ({"pattern": r"^\w+\.$", "regex": True}, []),
        ({"pattern": r"^start$", "regex": True}, ["more.md:1"]),
        ({"pattern": "start()"}, ["app.py:1"]),
        ({"pattern": "start", "glob": "*.py"}, ["app.py:1"]),
        ({"pattern": "start", "path": "src/app.py"}, ["app.py:1"]),
        ({"pattern": "it.\nThen"}, []),
        ({"pattern": r"^$", "regex": True}, ["README.md:2"]),
    ],
)
async def test_lines_are_found_by_words_or_pattern(
    rig: FileRig, arguments: dict[str, Any], lines: list[str]
) -> None:
    told = await rig.call("search_text", **arguments)
    found = [f"{match['path'].rpartition('/')[2]}:{match['line']}" for match in told["matches"]]
    assert found == lines


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"(a)\1", "a{1001}", "(((a{99}){99}){99})"])
async def test_a_pattern_that_re2_does_not_take_is_refused(rig: FileRig, pattern: str) -> None:
    with pytest.raises(ToolError, match="no RE2 regular expression"):
        await rig.call("search_text", pattern=pattern, regex=True)


async def test_a_pattern_made_to_explode_is_searched_to_its_end(rig: FileRig) -> None:
    rig.write("aaa", "a" * 40_000 + "b")
    for pattern in ("(a+)+$", "(a|a)*c", "(.*)*x", "(a|aa)+$"):
        await rig.call("search_text", pattern=pattern, regex=True, path="aaa")
    await rig.call("find_files", glob="*a" * 200 + "b")


async def test_a_long_line_is_cut_around_what_was_found(rig: FileRig) -> None:
    rig.write("long", "x" * 5000 + "needle" + "y" * 5000)
    (match,) = (await rig.call("search_text", pattern="needle"))["matches"]
    assert "needle" in match["text"]
    assert len(match["text"]) < 500
    assert match["text"][0] == match["text"][-1] == "…"


async def test_too_many_matches_are_said_to_be_there(rig: FileRig) -> None:
    rig.write("many.txt", "same\n" * 500)
    told = await rig.call("search_text", pattern="same", limit=10)
    assert len(told["matches"]) == 10
    assert told["incomplete"] == "more than 10 matches; narrow the pattern or the folder"


async def test_a_large_file_is_skipped_and_counted(rig: FileRig) -> None:
    rig.write("large.txt", "start\n" * 20_000)
    assert (await rig.call("search_text", pattern="start"))["files_skipped"] == 2


async def test_a_search_stops_at_its_bytes_and_says_so(tmp_path: Path) -> None:
    rig = FileRig(tmp_path, max_search_bytes=100)
    for number in range(10):
        rig.write(f"{number}", "words\n" * 5)
    told = await rig.call("search_text", pattern="words", limit=200)
    assert told["files_searched"] == 3
    assert told["incomplete"].startswith("more than 100 bytes to search")


async def test_a_walk_stops_at_its_depth_and_its_time(rig: FileRig, tmp_path: Path) -> None:
    rig.write("1/2/3/4/5/6/7/8/deep.md", "start\n")
    deep = "folders deeper than 5 are left out, first 1/2/3/4/5; name one"
    told = await rig.call("find_files", glob="*.md")
    assert told["incomplete"] == deep
    assert [one["path"] for one in told["files"]] == [
        "README.md", "guides/deep/down/more.md", "guides/start.md",
    ]  # fmt: skip
    searched = await rig.call("search_text", pattern="start")
    assert searched["incomplete"] == deep
    assert {one["path"] for one in searched["matches"]} >= {"guides/start.md", "src/app.py"}
    hasty = FileRig(tmp_path / "hasty", walk_seconds=1e-9)
    hasty.write("a")
    for call in (hasty.call("find_files", glob="*"), hasty.call("search_text", pattern="a")):
        assert (await call)["incomplete"].startswith("longer than")


async def test_a_search_looks_at_the_clock_within_a_file(tmp_path: Path) -> None:
    rig = FileRig(tmp_path, walk_seconds=1e-9)
    rig.write("long.txt", "words\n" * 200_000 + "last\n")
    told = await rig.call("search_text", path="long.txt", pattern="last")
    assert (told["matches"], told["files_searched"]) == ([], 1)
    assert told["incomplete"].startswith("longer than")


async def test_lines_are_found_across_the_blocks_of_a_search(tmp_path: Path) -> None:
    rig = FileRig(tmp_path)
    lines = [("x" * (n % 5000)) + (" here" if n % 97 == 0 else "") for n in range(600)]
    rig.write("a.txt", "\n".join([*lines, ""]))
    told = await rig.call("search_text", pattern=" here$", regex=True, limit=200)
    assert [one["line"] for one in told["matches"]] == list(range(1, 601, 97))
    assert told["incomplete"] is None


@pytest.mark.parametrize(
    "pattern", ["(?:.?){990}x$", "(?:(?:a{1,30}){1,30}){1,2}", r"[\pL\pN]{100}", "(.{200}){9}"]
)
async def test_a_pattern_that_repeats_too_much_is_refused(rig: FileRig, pattern: str) -> None:
    with pytest.raises(ToolError, match=r"repeats too much|no RE2"):
        await rig.call("search_text", pattern=pattern, regex=True)


@pytest.mark.parametrize("pattern", [r"\d{4}-\d{2}-\d{2}", r"\pL{1,3}", ".{1,200}", "a{1000}"])
async def test_a_pattern_that_repeats_as_people_write_it_passes(rig: FileRig, pattern: str) -> None:
    assert (await rig.call("search_text", pattern=pattern, regex=True))["incomplete"] is None


async def test_hundreds_of_folders_below_each_other_are_no_harm(rig: FileRig) -> None:
    here = os.open(rig.root, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert "folders deeper than 5" in (await rig.call("find_files", glob="*"))["incomplete"]


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


async def test_walks_give_their_descriptors_back(rig: FileRig) -> None:
    before = open_descriptors()
    for _ in range(50):
        await rig.call("find_files", glob="*", limit=1)
        await rig.call("search_text", pattern="start", limit=1)
        with pytest.raises(ToolError):
            await rig.call("read_text", path="guides")
    assert open_descriptors() <= before + 2


async def test_a_file_is_described(rig: FileRig) -> None:
    told = await rig.call("get_file_info", path="README.md")
    assert told["modified"].endswith("+00:00")
    del told["modified"]
    assert told == {
        "path": "README.md",
        "type": "file",
        "size": 23,
        "readable": True,
        "reason": None,
    }
    assert (await rig.call("get_file_info", path="."))["type"] == "directory"


@given(
    pattern=st.text("ab/*?[]!-.^\\(){}|+$\u00e9", min_size=1, max_size=12),
    path=st.lists(st.text("ab.-", min_size=1, max_size=3), min_size=1, max_size=4),
)
def test_every_glob_is_read_or_refused_and_never_crosses_a_folder(
    pattern: str, path: list[str]
) -> None:
    try:
        compiled = compile_glob(pattern)
    except ToolError:
        return
    whole = "/".join(path)
    matched = bool(compiled.fullmatch(whole))
    if "**" not in pattern and "/" in pattern:
        assert not matched or whole.count("/") == pattern.count("/") - pattern.count("[/]")
    if pattern == whole and not set(pattern) & set("*?[]!\\"):
        assert matched


def test_re2_stays_within_its_memory() -> None:
    with pytest.raises(re2.error):
        re2.compile("((a{99}){99}){99}")
