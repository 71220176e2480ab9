"""What is kept is for its own user alone."""

import subprocess
import sys
from pathlib import Path

_MAKE = """
import os, sqlite3, sys
from pathlib import Path
from bulkhead.private import keep_private

os.umask(0)
folder = Path(sys.argv[1])
keep_private(folder)
keep_private(folder)
(folder / "spool").mkdir()
(folder / "spool" / "upload").write_text("x")
store = sqlite3.connect(folder / "chunks.sqlite3")
store.execute("PRAGMA journal_mode = WAL")
store.execute("CREATE TABLE t (x)")
print(sorted(path.name for path in folder.iterdir()))
os._exit(0)
"""


def made(folder: Path) -> str:
    run = [sys.executable, "-c", _MAKE, str(folder)]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout


def open_to_others(folder: Path) -> list[str]:
    return [path.name for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


def test_files_and_folders_made_from_then_on_are_the_users_own(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    assert "chunks.sqlite3-wal" in made(folder)
    assert open_to_others(folder.parent) == []


def test_what_earlier_releases_left_open_is_closed_and_still_there(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "qdrant").mkdir(mode=0o755, parents=True)
    (folder / "qdrant" / "old").write_text("kept")
    (folder / "qdrant" / "old").chmod(0o644)
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o644)
    (folder / "link").symlink_to(outside)
    made(folder)
    assert open_to_others(folder) == ["link"]
    assert outside.stat().st_mode & 0o777 == 0o644
    assert (folder / "qdrant" / "old").read_text() == "kept"
