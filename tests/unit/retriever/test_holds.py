"""A hold keeps the points of what is removed or replaced, and ends by itself."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from qdrant_server import ADMIN, BM, STAMP
from sqlalchemy import URL, select, update
from state import server

from bulkhead.errors import Unavailable
from retriever.database import Database
from retriever.index.connect import connect
from retriever.index.documents import Documents
from retriever.index.index import Index
from retriever.index.model import Addition, ChunkSpan, Deletion, NewDocument, Outcome
from retriever.index.vectors import Vectors
from retriever.state.holds import HoldLost, hold
from retriever.state.schema import clock, holds


@pytest.fixture
async def database(state_url: URL) -> AsyncIterator[Database]:
    async with Database.open(state_url) as database:
        yield database


class Indexed:
    """An index, and how many points it has."""

    def __init__(self, index: Index, vectors: Vectors) -> None:
        self.index = index
        self._vectors = vectors

    async def add(self, name: str, text: str) -> Outcome | None:
        spans = [ChunkSpan(0, len(text), None, "")]
        new = NewDocument(name, "a.txt", "a", "text/plain", (), {}, text, (), spans)
        one = Addition(ADMIN, new, [[1.0, 0.0, 0.0]], BM.documents([text]))
        return (await self.index.add([one]))[0]

    async def points(self) -> int:
        return (await self._vectors._reads.count("chunks")).count


@pytest.fixture
async def indexed(tmp_path: Path, database: Database) -> AsyncIterator[Indexed]:
    client = connect(None, tmp_path / "qdrant")
    vectors = Vectors(client, "chunks")
    index = Index(Documents(database), vectors)
    await index.open(STAMP)
    yield Indexed(index, vectors)
    await client.close()


async def states(database: Database) -> list[str]:
    return sorted(
        str(state)
        for (state,) in server().rows("SELECT state FROM documents", str(database._url.database))
    )


async def test_what_is_replaced_keeps_its_points_while_they_are_held(
    database: Database, indexed: Indexed
) -> None:
    await indexed.add("one", "first words")
    async with hold(database):
        assert await indexed.add("two", "second words") is Outcome.REPLACED
        assert await indexed.points() == 2
        assert await states(database) == ["deleting", "live"]
        await indexed.index.sweep()
        assert await indexed.points() == 2
    await indexed.index.sweep()
    assert await indexed.points() == 1
    assert await states(database) == ["live"]


async def test_a_deletion_while_points_are_held_shows_at_once_and_is_finished_later(
    database: Database, indexed: Indexed
) -> None:
    await indexed.add("one", "first words")
    async with hold(database):
        assert await indexed.index.delete(ADMIN, "one") is Deletion.ACCEPTED
        assert await indexed.index.get(ADMIN, "one") is None
        assert await indexed.points() == 1
    await indexed.index.sweep()
    assert await indexed.points() == 0


async def test_a_document_that_comes_again_while_its_points_are_held_waits(
    database: Database, indexed: Indexed
) -> None:
    await indexed.add("one", "first words")
    async with hold(database):
        await indexed.index.delete(ADMIN, "one")
        with pytest.raises(Unavailable, match="backup"):
            await indexed.add("one", "first words")
        assert await indexed.points() == 1
    assert await indexed.add("one", "first words") is Outcome.ADDED
    assert await indexed.points() == 1


async def test_a_retriever_starts_while_points_are_held(
    database: Database, indexed: Indexed
) -> None:
    await indexed.add("one", "first words")
    async with hold(database):
        await indexed.index.delete(ADMIN, "one")
        await indexed.index.open(STAMP)


async def test_a_hold_whose_holder_died_ends_by_itself(
    database: Database, indexed: Indexed
) -> None:
    await indexed.add("one", "first words")
    await database.write(holds.insert().values(id="dead", ends_at=clock()))
    await indexed.index.delete(ADMIN, "one")
    assert await indexed.points() == 0


async def test_a_hold_that_ended_too_early_is_told_of(database: Database) -> None:
    with pytest.raises(HoldLost):
        async with hold(database):
            await database.write(update(holds).values(ends_at=clock()))


async def test_holds_of_two_at_once_do_not_end_each_other(
    database: Database, indexed: Indexed
) -> None:
    await indexed.add("one", "first words")
    async with hold(database):
        async with hold(database):
            await indexed.index.delete(ADMIN, "one")
        await indexed.index.sweep()
        assert await indexed.points() == 1
    assert await database.rows(select(holds.c.id)) == []


async def test_a_hold_is_renewed_while_it_is_needed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retriever.state.holds._RENEW_SECONDS", 0.01)
    async with hold(database):
        await database.write(update(holds).values(ends_at=clock() + timedelta(seconds=20)))
        renewed = select(holds.c.ends_at - clock() > timedelta(seconds=30))
        while not (await database.rows(renewed))[0][0]:  # noqa: ASYNC110 - of another server
            await asyncio.sleep(0.05)


async def test_a_hold_that_came_to_its_end_is_not_taken_up_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retriever.state.holds._RENEW_SECONDS", 0.0)
    with pytest.raises(HoldLost):
        async with hold(database):
            await database.write(update(holds).values(ends_at=clock()))
            for _ in range(3):  # a renewal has gone by
                await database.rows(select(holds.c.id))
