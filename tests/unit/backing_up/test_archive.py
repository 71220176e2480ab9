"""A backup as files: closed to others, opened by its key alone, refused where it is not whole."""

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest
from filled_places import LOCK, Place
from sqlalchemy import URL

from backing_up import archive
from backing_up.archive import Backup, BackupError, Lock
from backing_up.create import create


def test_each_file_is_closed_to_others_and_holds_no_word_in_the_clear(made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    for file in made.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        data = file.read_bytes()
        assert data.startswith(b"age-encryption.org/v1"), file
        assert b"canary" not in data and b"acme" not in data, file


def flip(path: Path, at: int = -20) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("harm", "name", "words"),
    [
        (flip, "points.age", "points.age was changed"),
        (flip, "rows-documents.age", "rows-documents.age was changed"),
        (cut, "points.age", "points.age has"),
        (Path.unlink, "rows-keys.age", "rows-keys.age cannot be read"),
        (flip, "manifest.age", "it was changed, or this is not its key"),
        (cut, "manifest.age", "it was changed, or this is not its key"),
        (Path.unlink, "manifest.age", "is no backup"),
    ],
)
async def test_what_is_not_whole_is_refused(
    made: Path, harm: Callable[[Path], None], name: str, words: str
) -> None:
    harm(made / name)
    with pytest.raises(BackupError, match=words):
        Backup(made, LOCK)


async def test_files_of_two_backups_do_not_go_together(
    made: Path, tmp_path: Path, state_url: URL
) -> None:
    await create(tmp_path / "second", LOCK, Place(tmp_path / "a", state_url).settings)
    shutil.copy(tmp_path / "second" / "points.age", made / "points.age")
    with pytest.raises(BackupError, match="points"):
        Backup(made, LOCK)


def test_another_passphrase_opens_nothing(tmp_path: Path) -> None:
    passphrase = Lock("a passphrase of a test")
    with archive.writing(tmp_path / "backup", passphrase) as backup, backup.file("one") as file:
        file.write(b"words" * 100_000)
    with Backup(tmp_path / "backup", passphrase).file("one") as file:
        assert file.read() == b"words" * 100_000
    with pytest.raises(BackupError, match="not its key"):
        Backup(tmp_path / "backup", Lock("another passphrase, of nobody"))


async def test_a_recipient_makes_backups_that_its_identity_alone_opens(
    tmp_path: Path, state_url: URL
) -> None:
    identity = pyrage.x25519.Identity.generate()
    keys = {"recipient": f"# public\n{identity.to_public()}\n", "identity": f"{identity}\n"}
    for name, words in keys.items():
        (tmp_path / name).write_text(words)
    recipient, opens = (Lock.read(tmp_path / name) for name in keys)
    await create(tmp_path / "backup", recipient, Place(tmp_path / "a", state_url).settings)
    Backup(tmp_path / "backup", opens)
    for wrong, words in (
        (recipient, "identity's file"),
        (Lock(str(pyrage.x25519.Identity.generate())), "not its key"),
    ):
        with pytest.raises(BackupError, match=words):
            Backup(tmp_path / "backup", wrong)


def test_a_key_file_that_guards_nothing_is_refused(tmp_path: Path) -> None:
    for words in (
        "",
        "short",
        "age1tooshort",
        "AGE-SECRET-KEY-1NONE",
        "two lines of words\nthat are no one passphrase",
    ):
        (tmp_path / "key").write_text(words)
        with pytest.raises(BackupError):
            Lock.read(tmp_path / "key")


def test_nothing_is_left_of_a_backup_that_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        archive.writing(tmp_path / "backup", LOCK) as backup,
        backup.file("one") as file,
    ):
        file.write(b"words" * 100_000)
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_backup_is_not_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    with (
        pytest.raises(BackupError, match="there already"),
        archive.writing(tmp_path / "backup", LOCK),
    ):
        pass


def test_the_manifest_is_json_that_says_what_is_in_the_backup(made: Path) -> None:
    told = json.loads(LOCK.open((made / "manifest.age").read_bytes()))
    assert told["points"] == 6
    assert told["collection"] == "chunks"
    assert told["files"].keys() == {one.name for one in made.iterdir()} - {"manifest.age"}
