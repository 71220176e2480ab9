"""Whatever path a caller names, nothing outside the root is read, listed or told of."""

from pathlib import Path
from typing import Any

import pytest
from files import CANARY, OTHER, STRANGER, FileRig, plant

from bulkhead.mcp.tools import ToolError
from mcp_filesystem.beneath import Opener, best_opener, open_by_openat2, open_by_walk

ABSOLUTE = "is absolute"
DOTS = "holds '..'"
INVISIBLE = "invisible"
BACKSLASH = "backslash"
LINK = "symbolic link"
MISSING = "does not exist"

# What is asked for, and words that its refusal must hold.
PATHS: dict[str, tuple[str, str]] = {
    # up and out
    "parent": ("..", DOTS),
    "parent's file": ("../outside/secret.txt", DOTS),
    "many parents": ("../" * 40 + "etc/passwd", DOTS),
    "down and up": ("dir/../../outside/secret.txt", DOTS),
    "up inside": ("dir/../a.txt", DOTS),
    "dots at the end": ("dir/..", DOTS),
    "dot, dots": ("./../outside/secret.txt", DOTS),
    "doubled slash and dots": ("dir//..//..//outside/secret.txt", DOTS),
    "through a missing folder": ("missing/../../outside/secret.txt", DOTS),
    "through a file": ("a.txt/../../outside/secret.txt", DOTS),
    "through a link": ("link-dir/../outside/secret.txt", DOTS),
    "three dots": (".../outside/secret.txt", MISSING),
    "dots and a space": (".. /outside/secret.txt", MISSING),
    "full-width dots": ("\uff0e\uff0e/outside/secret.txt", MISSING),
    "one-dot leader": ("\u2024\u2024/outside/secret.txt", MISSING),
    # absolute
    "absolute": ("/etc/passwd", ABSOLUTE),
    "absolute, doubled": ("//etc/passwd", ABSOLUTE),
    "the slash": ("/", ABSOLUTE),
    "the outside itself": ("{outside}/secret.txt", ABSOLUTE),
    "beside, by prefix": ("{root}2/secret.txt", ABSOLUTE),
    "the root itself, absolute": ("{root}/a.txt", ABSOLUTE),
    "proc": ("/proc/self/environ", ABSOLUTE),
    "proc's root": ("/proc/self/root/etc/passwd", ABSOLUTE),
    "dev": ("/dev/stdin", ABSOLUTE),
    # characters
    "empty": ("", "is empty"),
    "a space": (" ", MISSING),
    "line feed": ("a.txt\n/etc/passwd", INVISIBLE),
    "carriage return": ("a.txt\r", INVISIBLE),
    "NUL": ("a.txt\0.md", INVISIBLE),
    "NUL first": ("\0/etc/passwd", INVISIBLE),
    "escape": ("\x1b]0;x\x07a.txt", INVISIBLE),
    "delete": ("a.txt\x7f", INVISIBLE),
    "C1": ("\x9b31m", INVISIBLE),
    "zero-width space": ("a\u200b.txt", INVISIBLE),
    "right-to-left": ("txt.\u202etxt.a", INVISIBLE),
    "byte order mark": ("\ufeffa.txt", INVISIBLE),
    "tag character": ("a\U000e0041.txt", INVISIBLE),
    "line separator": ("a\u2028.txt", INVISIBLE),
    "soft hyphen": ("a\u00ad.txt", INVISIBLE),
    "lone surrogate": ("a\ud800.txt", "valid"),
    "NFD of a name in NFC": ("cafe\u0301.txt", MISSING),
    # other systems, other readers
    "backslashes": ("..\\outside\\secret.txt", BACKSLASH),
    "one backslash": ("dir\\b.txt", BACKSLASH),
    "drive": ("C:\\Windows\\win.ini", BACKSLASH),
    "drive, slashes": ("C:/Windows/win.ini", MISSING),
    "share": ("\\\\host\\share", BACKSLASH),
    "home": ("~/secret.txt", MISSING),
    "another's home": ("~root/.ssh/id_rsa", MISSING),
    "variable": ("$HOME/secret.txt", MISSING),
    "variable in braces": ("${{HOME}}/secret.txt", MISSING),
    "command": ("$(cat /etc/passwd)", MISSING),
    "backticks": ("`id`", MISSING),
    "pipe": ("a.txt|cat", MISSING),
    "option": ("-rf", MISSING),
    "percent": ("..%2foutside%2fsecret.txt", MISSING),
    "percent twice": ("..%252foutside%252fsecret.txt", MISSING),
    "percent dots": ("%2e%2e/outside/secret.txt", MISSING),
    "overlong UTF-8, percent": ("..%c0%afoutside", MISSING),
    "file URL": ("file:///etc/passwd", MISSING),
    "http URL": ("http://127.0.0.1/x", MISSING),
    "glob": ("*", MISSING),
    "stream": ("a.txt::$DATA", MISSING),
    # links
    "link inside": ("link-inside", LINK),
    "folder link inside": ("link-dir-inside/b.txt", LINK),
    "link, absolute": ("link-absolute", LINK),
    "link, relative": ("link-relative", LINK),
    "through a folder link": ("link-dir/secret.txt", LINK),
    "through a link to /": ("link-root/etc/passwd", LINK),
    "through a link up": ("link-up/outside/secret.txt", LINK),
    "link to proc": ("link-proc/etc/passwd", LINK),
    "link to a descriptor": ("link-fd", LINK),
    "link to the environment": ("link-environ", LINK),
    "loop": ("link-loop", LINK),
    "dangling": ("link-dangling", LINK),
    "link further down": ("dir/link-up-two", LINK),
    "folder link and slash": ("link-dir/", LINK),
    # what is no plain file
    "hard link": ("hard", "hard link"),
    "FIFO": ("fifo", "not a regular file"),
    "socket": ("socket", "not a regular file"),
    "folder": ("dir", "is a folder"),
    "root": (".", "is a folder"),
    "below a file": ("a.txt/b", MISSING),
    # size
    "long name": ("n" * 300, "longer than 255 bytes"),
    "long name, four bytes each": ("\U0001f600" * 64, "longer than 255 bytes"),
    "3000 folders": ("d/" * 3000 + "x", "longer than 4096 bytes"),
    "deep": ("d/" * 100 + "x", "deeper than 64"),
    "a megabyte": ("a" * 2**20, "longer than 4096 bytes"),
    "another tenant's, from here": ("../tenants/other/theirs.txt", DOTS),
}


@pytest.fixture(params=[open_by_openat2, open_by_walk], ids=["openat2", "walk"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> FileRig:
    """A root with every way out planted in it; once for each way to open."""
    opener: Opener = request.param
    made = FileRig(tmp_path, opener)
    plant(made)
    return made


def test_the_table_of_paths_has_one_row_for_each() -> None:
    assert len({path for path, _ in PATHS.values()}) == len(PATHS) >= 60


@pytest.mark.parametrize(("path", "words"), PATHS.values(), ids=PATHS.keys())
async def test_a_path_that_is_no_file_below_the_root_is_refused_in_clear_words(
    rig: FileRig, path: str, words: str
) -> None:
    asked = path.replace("{outside}", str(rig.outside)).replace("{root}", str(rig.root))
    with pytest.raises(ToolError) as refused:
        await rig.call("read_text", path=asked)
    assert words in str(refused.value)
    assert str(rig.root.parent) not in str(refused.value).replace(asked, "")
    assert len(str(refused.value)) < 5000


@pytest.mark.parametrize("path", [path for path, _ in PATHS.values()], ids=PATHS.keys())
async def test_no_tool_tells_what_is_outside_whatever_the_path(rig: FileRig, path: str) -> None:
    asked = path.replace("{outside}", str(rig.outside)).replace("{root}", str(rig.root))
    tools: dict[str, dict[str, Any]] = {
        "list_directory": {},
        "get_file_info": {},
        "search_text": {"pattern": "canary", "context": 5},
        "find_files": {"glob": "**"},
    }
    for tool, more in tools.items():
        try:
            told = str(await rig.call(tool, path=asked, **more))
        except ToolError as refused:
            told = str(refused).replace(asked, "")
        for secret in (CANARY, str(rig.root.parent), "root:"):
            assert secret not in told


async def test_every_listing_shows_links_as_links_and_follows_none(rig: FileRig) -> None:
    listing = await rig.call("list_directory")
    kinds = {entry["name"]: entry["type"] for entry in listing["entries"]}
    assert {kinds[name] for name in kinds if name.startswith("link")} == {"link"}
    assert all(e["size"] is None for e in listing["entries"] if e["type"] != "file")
    found = await rig.call("find_files", glob="**")
    assert {file["path"] for file in found["files"]} == {"a.txt", "dir/b.txt", "hard"}


async def test_a_search_over_everything_finds_nothing_of_the_outside(rig: FileRig) -> None:
    found = await rig.call("search_text", pattern="(?s).", regex=True, context=5, limit=200)
    assert {match["path"] for match in found["matches"]} == {"a.txt", "dir/b.txt"}
    assert CANARY not in str(found)


async def test_of_a_link_no_more_is_told_than_that_it_is_one(rig: FileRig) -> None:
    told = await rig.call("get_file_info", path="link-absolute")
    assert (told["type"], told["size"], told["readable"]) == ("link", None, False)
    assert "outside" not in str(told).replace("may lie outside", "")


async def test_a_caller_sees_its_own_tenants_files_and_no_others(rig: FileRig) -> None:
    assert (await rig.call("read_text", OTHER, path="theirs.txt"))[
        "text"
    ] == "of the other tenant\n"
    with pytest.raises(ToolError, match="does not exist"):
        await rig.call("read_text", OTHER, path="a.txt")
    with pytest.raises(ToolError, match="does not exist"):
        await rig.call("read_text", path="theirs.txt")
    tools: dict[str, dict[str, Any]] = {
        "list_directory": {},
        "read_text": {"path": "a.txt"},
        "search_text": {"pattern": "a"},
        "find_files": {"glob": "*"},
        "get_file_info": {"path": "."},
    }
    for tool, more in tools.items():
        with pytest.raises(ToolError, match="no files for this caller"):
            await rig.call(tool, STRANGER, **more)


@pytest.mark.parametrize(
    "tenant", ["..", ".", "", "/", "other/..", "../root", "other/x", "\0", "OTHER", "o" * 300]
)
async def test_a_tenants_name_is_one_folder_and_no_path(rig: FileRig, tenant: str) -> None:
    principal = type(OTHER)("key-4", tenant, OTHER.groups, OTHER.role)
    with pytest.raises(ToolError, match="no files for this caller"):
        await rig.call("list_directory", principal)


def test_a_tenants_folder_that_is_a_link_is_not_followed(rig: FileRig) -> None:
    (rig.tenants / "linked").symlink_to(rig.root)
    principal = type(OTHER)("key-4", "linked", OTHER.groups, OTHER.role)
    with pytest.raises(ToolError, match="no files"), rig.folders.of(principal):
        pass


def test_this_kernel_has_openat2_so_the_first_way_is_the_one_in_use() -> None:
    assert best_opener() is open_by_openat2


def test_without_openat2_the_walk_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_filesystem.beneath._SYS_OPENAT2", 9999)  # no such call: ENOSYS
    assert best_opener() is open_by_walk
