"""What people do all day, and no wall may stand in the way of: a hundred reads that must pass."""

from pathlib import Path
from typing import Any

import pytest
from files import FileRig

LINES = [f"Line {n}: the harbour opens at {n % 24}:00, für alle — 港.\n" for n in range(200)]
TEXT = "".join(LINES)
WHOLE = TEXT.encode()

NAMES = [
    # as people and programs name files
    *("README", "README.md", "LICENSE", "Makefile", ".gitignore", ".env.example", "a", "0", "x.y"),
    *("notes.txt", "Notes.TXT", "no extension", "two  spaces.md", " leading.md", "trailing "),
    *("report-2026-11-24.md", "report_final_v2 (1).md", "Copy of plan.md", "plan~", "#draft#"),
    *(
        "data.csv",
        "data.tar.json",
        "config.yaml",
        "query.sql",
        "index.html",
        "script.sh",
        "main.py",
    ),
    *("a+b.txt", "a&b.txt", "a=b.txt", "a,b;c.txt", "50% done.txt", "cost $5.txt", "what?.md"),
    *(
        "it's.md",
        'say "hi".md',
        "[draft].md",
        "{id}.md",
        "<tag>.md",
        "a|b.md",
        "star*.md",
        "a:b.md",
    ),
    *(
        "-rf",
        "--help",
        "...",
        "..hidden",
        "trailing.",
        "C:",
        "etc",
        "passwd",
        "proc",
        "null",
        "con",
    ),
    *("%2e%2e", "~", "$HOME", "`id`", "!important.md", "@here.md", "file://x".replace("/", "_")),
    # in other languages
    *(
        "über.md",
        "naïve café.md",
        "cafe\u0301.md",
        "Привет.md",
        "日本語.md",
        "한국어.md",
        "العربية.md",
    ),
    *("עברית.md", "ไทย.md", "हिन्दी.md", "🚢.md", "Ωmega.md", "n" * 255, "語" * 85),
    # further down
    *("docs/guide.md", "docs/a/b/c/d.md", "docs/./guide2.md", "docs//guide3.md", "a b/c d.md"),
    *("src/app/main.py", ".github/workflows/ci.yml", "node_modules/x/package.json"),
    *("d/" * 30 + "deep.md", "etc/passwd", "proc/self/environ", "root/.ssh/id_rsa"),
]
WAYS: list[tuple[dict[str, Any], str]] = [
    ({}, TEXT),
    ({"unit": "lines"}, TEXT),
    ({"unit": "bytes"}, TEXT),
    *(({"offset": n, "limit": 1}, LINES[n]) for n in (0, 1, 2, 50, 100, 198, 199)),
    *(({"limit": n}, "".join(LINES[:n])) for n in (1, 2, 10, 199, 200, 201, 2000)),
    *(({"offset": n}, "".join(LINES[n:])) for n in (1, 10, 100, 199)),
    *(({"offset": n, "limit": 20}, "".join(LINES[n : n + 20])) for n in (0, 20, 40, 90, 180, 190)),
    *(
        ({"unit": "bytes", "offset": n, "limit": 14}, WHOLE[n : n + 14].decode())
        for n in (0, 1, 7, 10, 20)
    ),
]


def test_there_are_a_hundred_and_no_two_alike() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert len(NAMES) + len(WAYS) >= 100


async def test_a_file_of_any_honest_name_is_found_described_and_read(tmp_path: Path) -> None:
    rig = FileRig(tmp_path)
    for number, name in enumerate(NAMES):
        folder = f"{number}/"
        rig.write(folder + name, f"This is {name}.\n")
        told = await rig.call("read_text", path=folder + name)
        assert told["text"] == f"This is {name}.\n", name
        assert (await rig.call("get_file_info", path=folder + name))["readable"], name
        found = await rig.call("find_files", path=str(number), glob="**")
        (listed,) = found["files"]
        assert (await rig.call("read_text", path=listed["path"]))["text"] == told["text"]


@pytest.mark.parametrize(("arguments", "expected"), WAYS)
async def test_every_way_to_read_gives_the_files_own_words(
    tmp_path: Path, arguments: dict[str, Any], expected: str
) -> None:
    rig = FileRig(tmp_path)
    rig.write("log.txt", TEXT)
    assert (await rig.call("read_text", path="log.txt", **arguments))["text"] == expected


async def test_a_long_file_is_read_whole_by_its_next_offsets(tmp_path: Path) -> None:
    rig = FileRig(tmp_path)
    rig.write("log.txt", TEXT * 30)
    for unit in ("lines", "bytes"):
        read, offset = "", 0
        while offset is not None:
            part = await rig.call("read_text", path="log.txt", unit=unit, offset=offset)
            read, offset = read + part["text"], part["next_offset"]
        assert read == TEXT * 30
