"""Backups: what goes in comes back, and where it does not belong or fit it is refused."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filled_places import LOCK, STAMP, TEXTS, Place, addition, fill
from qdrant_server import ADMIN, serving_qdrant
from sqlalchemy import URL
from state import server, state

from backing_up.archive import Backup, BackupError
from backing_up.create import create
from backing_up.verify import verify
from bulkhead.auth import Role
from bulkhead.errors import Unauthenticated
from retriever.database import Database
from retriever.index.documents import Documents
from retriever.index.index import Index
from retriever.keys import OPERATOR, Keys, NewKey
from retriever.limits import Limits
from retriever.state import holds

LIMITS = Limits(requests_per_minute=9, tokens_per_minute=9, documents_per_minute=9)


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
