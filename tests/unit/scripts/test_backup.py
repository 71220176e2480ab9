"""Backups: what goes in comes back, and what is not whole, or has no room, is refused."""

import asyncio
import json
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyrage
import pytest
from qdrant_server import ADMIN, BM, KEY, serving_qdrant
from qdrant_standin import Standin
from sqlalchemy import URL
from state import server, state, told

from backing_up import archive
from backing_up.archive import Backup, BackupError, Lock
from backing_up.create import create
from backing_up.restore import restore
from backing_up.verify import verify
from bulkhead.auth import Role
from bulkhead.errors import Unauthenticated
from retriever.database import Database
from retriever.index.connect import Connection, connect
from retriever.index.documents import Documents
from retriever.index.index import Index
from retriever.index.model import Addition, ChunkSpan, NewDocument
from retriever.index.vectors import Stamp, Vectors
from retriever.keys import OPERATOR, Keys, NewKey
from retriever.limits import Limits
from retriever.servers import qdrant_server
from retriever.settings import RetrieverSettings
from retriever.state import holds

LOCK = Lock(str(pyrage.x25519.Identity.generate()))
STAMP = Stamp("model", "1", 3, "bm25 english k1=1.2 b=0.75 average=10.0")
LIMITS = Limits(requests_per_minute=9, tokens_per_minute=9, documents_per_minute=9)
TEXTS = (
    "Lanterns hang above the pier.\tBackslash \\ and\na second line — größer, 码头.",
    "Soup is served at noon.",
    "A canary sings in the mine.",
)


class Place:
    """A database and a Qdrant, as settings speak of them."""

    def __init__(self, folder: Path, url: URL, standin: Standin | None = None) -> None:
        key = folder / "qdrant-key"
        folder.mkdir(exist_ok=True)
        key.write_text(KEY)
        served = {"qdrant_url": f"http://127.0.0.1:{standin.port}"} if standin else {}
        self.settings = RetrieverSettings.model_validate(
            {
                "data_dir": folder / "data",
                "database_url": told(url),
                "qdrant_api_key_file": key,
                "collection": "chunks",
                **served,
            }
        )
        self.url = url

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Connection, Vectors]]:
        client = connect(qdrant_server(self.settings), self.settings.data_dir / "qdrant")
        try:
            yield client, Vectors(client, self.settings.collection)
        finally:
            await client.close()

    async def restore(self, backup: Backup, expected: Stamp | None = None) -> int:
        async with self.opened() as (client, vectors):
            return await restore(backup, self.url, client, vectors, "chunks", expected)

    async def points(self) -> int | None:
        async with self.opened() as (client, _):
            if not await client.reads.collection_exists("chunks"):
                return None
            return len((await client.reads.scroll("chunks", limit=1000))[0])

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        return server().rows(statement, str(self.url.database))


def addition(name: str, text: str, tenant: str = "acme") -> Addition:
    half = len(text) // 2
    spans = [ChunkSpan(0, half, None, ""), ChunkSpan(half, len(text), None, "")]
    new = NewDocument(name, f"{name}.txt", name, "text/plain", (), {"n": 1.5}, text, (), spans)
    principal = replace(ADMIN, tenant=tenant)
    texts = [text[:half], text[half:]]
    return Addition(principal, new, [[0.6, 0.8, 0.0], [0.0, 0.6, 0.8]], BM.documents(texts))


async def fill(database: Database, vectors: Vectors) -> Index:
    index = Index(Documents(database), vectors)
    await index.open(STAMP)
    await database.claim("chunks")
    for n, text in enumerate(TEXTS):
        await index.add([addition(f"d{n}", text, "acme" if n else "other")])
    return index


@pytest.fixture(params=["embedded", "server"])
async def place(
    tmp_path: Path, state_url: URL, request: pytest.FixtureRequest
) -> AsyncIterator[Place]:
    """A filled place, with its index open as a retriever has it."""
    with serving_qdrant() as standin:
        place = Place(tmp_path / "a", state_url, standin if request.param == "server" else None)
        async with Database.open(place.url) as database, place.opened() as (_, vectors):
            await fill(database, vectors)
            yield place


@pytest.fixture
async def made(tmp_path: Path, state_url: URL) -> AsyncIterator[Path]:
    """A backup of an embedded place."""
    place = Place(tmp_path / "a", state_url)
    async with Database.open(place.url) as database, place.opened() as (_, vectors):
        await fill(database, vectors)
        await create(tmp_path / "backup", LOCK, place.settings)
    yield tmp_path / "backup"


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Place]:
    with state() as url:
        yield Place(tmp_path / "b", url)


async def test_all_comes_back_from_either_qdrant_into_the_other(
    place: Place, tmp_path: Path
) -> None:
    """While the retriever that has the index open goes on."""
    await create(tmp_path / "backup", LOCK, place.settings)
    backup = Backup(tmp_path / "backup", LOCK)
    assert backup.manifest["tenants"] == {
        "acme": {"documents": 2, "chunks": 4},
        "other": {"documents": 1, "chunks": 2},
    }
    assert backup.stamp == STAMP
    columns = "SELECT id, tenant, source, state, text, metadata::text, created_at FROM documents"
    with serving_qdrant() as standin, state() as one, state() as other:
        for n, target in enumerate(
            (Place(tmp_path / "b", one), Place(tmp_path / "c", other, standin))
        ):
            assert await target.restore(backup) == 6, n
            assert sorted(target.rows(columns)) == sorted(place.rows(columns))
            async with Database.open(target.url) as database, target.opened() as (_, vectors):
                index = Index(Documents(database), vectors)
                await index.open(STAMP)
                await database.claim("chunks")
                assert await index.text(ADMIN, "d1") == TEXTS[1]


async def test_a_backup_is_tried_by_what_it_brings_back(place: Place, tmp_path: Path) -> None:
    await create(tmp_path / "backup", LOCK, place.settings)
    with state() as url:
        done = await verify(Backup(tmp_path / "backup", LOCK), url, tmp_path / "scratch")
    assert (done.documents, done.points, done.quotes, done.canaries) == (3, 6, 6, 6)


async def test_keys_come_back_and_revoked_ones_are_refused(
    tmp_path: Path, state_url: URL, empty: Place
) -> None:
    place = Place(tmp_path / "a", state_url)
    async with Database.open(place.url) as database:
        keys = Keys(database, "operator", LIMITS)
        _, good = await keys.create(OPERATOR, NewKey("acme", (), Role.READER))
        gone, bad = await keys.create(OPERATOR, NewKey("acme", (), Role.READER))
        await keys.revoke(OPERATOR, gone.id)
    await create(tmp_path / "backup", LOCK, place.settings)
    await empty.restore(Backup(tmp_path / "backup", LOCK))
    async with Database.open(empty.url) as database:
        keys = Keys(database, "operator", LIMITS)
        await keys.refresh()
        assert (await keys.admit(good)).tenant == "acme"
        with pytest.raises(Unauthenticated):
            await keys.admit(bad)
        await keys.create(OPERATOR, NewKey("acme", (), Role.READER))


async def test_what_changes_while_a_backup_is_made_is_in_it_wholly_or_not_at_all(
    tmp_path: Path, state_url: URL, empty: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between rows and points: one document goes, one is replaced, one is new."""
    from backing_up import rows

    dump = rows.dump

    def slow(*words: Any) -> rows.Found:
        found = dump(*words)
        asyncio.run_coroutine_threadsafe(changes(), loop).result(60)
        return found

    async def changes() -> None:
        await index.delete(ADMIN, "d1")
        other = addition("new", "A canary flies to the sea.")
        await index.add([replace(other, document=replace(other.document, source="d2.txt"))])
        await index.add([addition("later", "Later words than the rows.")])
        await index.sweep()

    monkeypatch.setattr(rows, "dump", slow)
    loop = asyncio.get_running_loop()
    with serving_qdrant() as standin:
        place = Place(tmp_path / "a", state_url, standin)
        async with Database.open(place.url) as database, place.opened() as (_, vectors):
            index = await fill(database, vectors)
            await create(tmp_path / "backup", LOCK, place.settings)
            assert await index.text(ADMIN, "d1") is None
    assert await empty.restore(Backup(tmp_path / "backup", LOCK)) == 6
    assert sorted(empty.rows("SELECT id, state FROM documents")) == [
        ("d0", "live"), ("d1", "live"), ("d2", "live"),
    ]  # fmt: skip


async def test_a_backup_whose_hold_was_lost_is_not_made(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    monkeypatch.setattr(holds, "LENGTH", timedelta(0))
    with pytest.raises(BackupError, match="ended too early"):
        await create(tmp_path / "backup", LOCK, place.settings)
    assert {one.name for one in await asyncio.to_thread(lambda: [*tmp_path.iterdir()])} == {"a"}


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


async def test_a_target_with_rows_or_points_is_refused_and_unharmed(
    made: Path, empty: Place, tmp_path: Path
) -> None:
    backup = Backup(made, LOCK)
    name = str(empty.url.database)
    server().execute("INSERT INTO answers (id, tenant, key_id) VALUES ('a', 'acme', 'k')", name)
    with pytest.raises(BackupError, match="not empty: there are rows in its table answers"):
        await empty.restore(backup)
    server().execute("DELETE FROM answers", name)
    server().execute("INSERT INTO workers (id) VALUES ('w')", name)
    with pytest.raises(BackupError, match="running"):
        await empty.restore(backup)
    server().execute("DELETE FROM workers", name)
    async with empty.opened() as (_, vectors):
        await vectors.ensure(STAMP)
    with pytest.raises(BackupError, match="collection"):
        await empty.restore(backup)
    assert await empty.points() == 0
    assert empty.rows("SELECT id FROM documents") == []


def changed(backup: Backup, **values: Any) -> Backup:
    backup.manifest |= values
    return backup


async def test_another_schema_model_or_count_is_refused_and_leaves_the_target_empty(
    made: Path, empty: Place
) -> None:
    other = replace(STAMP, model="another")
    for backup, expected, words in (
        (changed(Backup(made, LOCK), schema="0000"), None, "schema"),
        (Backup(made, LOCK), other, "another"),
        (changed(Backup(made, LOCK), tenants={}), None, "not those that the manifest"),
    ):
        with pytest.raises(BackupError, match=words):
            await empty.restore(backup, expected)
        assert empty.rows("SELECT id FROM documents") == []
        assert await empty.points() is None
    assert await empty.restore(Backup(made, LOCK), STAMP) == 6


async def test_a_backup_that_lacks_points_is_refused_and_leaves_the_target_empty(
    tmp_path: Path, state_url: URL, empty: Place
) -> None:
    place = Place(tmp_path / "a", state_url)
    async with Database.open(place.url) as database, place.opened() as (_, vectors):
        await fill(database, vectors)
        await vectors.delete(["d1"])
    await create(tmp_path / "backup", LOCK, place.settings)
    with pytest.raises(BackupError, match="1 documents have other chunks"):
        await empty.restore(Backup(tmp_path / "backup", LOCK))
    assert empty.rows("SELECT id FROM documents") == []
    assert await empty.points() is None


async def test_a_database_with_the_wrong_qdrant_is_not_backed_up(
    tmp_path: Path, state_url: URL, made: Path
) -> None:
    elsewhere = Place(tmp_path / "elsewhere", state_url)
    with pytest.raises(BackupError, match="no chunk"):
        await create(tmp_path / "second", LOCK, elsewhere.settings)


def test_the_manifest_is_json_that_says_what_is_in_the_backup(made: Path) -> None:
    told = json.loads(LOCK.open((made / "manifest.age").read_bytes()))
    assert told["points"] == 6
    assert told["collection"] == "chunks"
    assert told["files"].keys() == {one.name for one in made.iterdir()} - {"manifest.age"}
