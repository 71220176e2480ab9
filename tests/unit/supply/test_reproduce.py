"""What differs between two builds is named."""

import io
import tarfile
from pathlib import Path

from release.reproduce import differing, entries


def pack(path: Path, mtime: int, **files: str) -> Path:
    with tarfile.open(path, "w") as tree:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(text), mtime
            entry.mode = 0o755 if name == "tool" else 0o644
            tree.addfile(entry, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "a"
        tree.addfile(link)
    return path


def test_content_and_mode_count_and_time_does_not(tmp_path: Path) -> None:
    first = entries(pack(tmp_path / "1", 1, a="x", b="y", tool="z"))
    assert differing(first, entries(pack(tmp_path / "2", 2, a="x", b="y", tool="z"))) == []
    assert differing(first, entries(pack(tmp_path / "3", 1, a="X", tool="z", c=""))) == [
        "a", "b", "c"
    ]  # fmt: skip
    moded = dict(first) | {"tool": (0o644, *first["tool"][1:])}
    assert differing(first, moded) == ["tool"]
