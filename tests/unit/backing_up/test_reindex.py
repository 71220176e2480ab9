"""All chunks embedded anew, while documents come and go, and one collection in place of another."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from qdrant_client import models
from qdrant_server import ADMIN, BM, STAMP, addition, reached, serving_qdrant
from sqlalchemy import URL, select

from backing_up.reindex import Reindex
from bulkhead.errors import Unavailable
from retriever.clients.embedding import EmbeddingClient
from retriever.database import Database
from retriever.index.collection import IndexMismatchError
from retriever.index.connect import Connection, connect
from retriever.index.documents import Documents, Moved
from retriever.index.index import Index
from retriever.index.model import Addition, Deletion, Mode
from retriever.index.vectors import Legs, Vectors
from retriever.state.schema import documents

UNFINISHED = select(documents.c.id).where(documents.c.state != "live")
OTHER = replace(STAMP, model="other", dimension=2)


class Embedding:
    """Another model; what a test does meanwhile it does before an answer."""

    def __init__(self) -> None:
        self.meanwhile: list[Callable[[], Awaitable[object]]] = []
        self.texts: list[str] = []

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        while self.meanwhile:
            await self.meanwhile.pop()()
        self.texts += texts
        return [[0.0, 1.0]] * len(texts)


class Place:
    """A filled index with a server, and what embeds it anew."""

    def __init__(self, database: Database, client: Connection) -> None:
        self.database, self.client = database, client
        self.vectors = Vectors(client, "chunks")
        self.index = Index(Documents(database), self.vectors)
        self.embedding = Embedding()

    def reindex(self) -> Reindex:
        return Reindex(
            self.database,
            self.client,
            Vectors(self.client, "chunks"),
            cast(EmbeddingClient, self.embedding),
            BM,
            OTHER,
            "chunks",
            lambda _: None,
        )

    async def found(self, vectors: Vectors, words: str) -> list[str]:
        fusion = models.FusionQuery(fusion=models.Fusion.DBSF)
        legs = Legs(Mode.SPARSE, None, BM.query(words), 10, fusion)
        hits = await Index(Documents(self.database), vectors).search(ADMIN, legs, 10)
        return sorted(hit.text for hit in hits)


def document(name: str, *texts: str) -> Addition:
    made = addition(*texts)
    return replace(made, document=replace(made.document, id=name, source=name))


@pytest.fixture
async def place(state_url: URL, tmp_path: Path) -> AsyncIterator[Place]:
    with serving_qdrant() as standin:
        client = connect(reached(standin), tmp_path)
        async with Database.open(state_url) as database:
            place = Place(database, client)
            await database.claim("chunks")
            await place.index.open(STAMP)
            await place.index.add([document("a", "A canary sings. ", "Soup is served.")])
            await place.index.add([document("b", "A canary sleeps.")])
            yield place
        await client.close()


async def test_what_comes_and_goes_meanwhile_is_as_it_should_be_afterwards(place: Place) -> None:
    async def changes() -> None:
        await place.index.delete(ADMIN, "b")
        await place.index.add([document("c", "A canary flies.")])
        assert await place.found(place.vectors, "canary") == ["A canary flies.", "A canary sings. "]

    place.embedding.meanwhile.append(changes)
    assert await place.reindex().run() == "chunks-r2"
    assert await place.database.claim("chunks") == "chunks-r2"
    new = Vectors(place.client, "chunks-r2")
    await new.ensure(OTHER)
    assert await place.found(new, "canary") == ["A canary flies.", "A canary sings. "]
    assert await place.found(new, "sleeps") == []


async def test_who_writes_the_former_collection_reads_on_and_publishes_nothing(
    place: Place,
) -> None:
    await place.reindex().run()
    assert await place.found(place.vectors, "soup") == ["Soup is served."]
    with pytest.raises(Moved):
        await place.index.add([document("c", "A canary flies.")])
    assert await place.index.get(ADMIN, "c") is None
    assert await place.index.delete(ADMIN, "b") is Deletion.ACCEPTED
    new = Index(Documents(place.database), Vectors(place.client, "chunks-r2"))
    await new.open(OTHER)  # which clears what the other left
    assert await place.database.rows(UNFINISHED) == []
    made = document("c", "A canary flies.")
    await new.add([replace(made, dense=[[1.0, 0.0]])])
    assert await new.get(ADMIN, "c") is not None


async def test_a_run_that_was_ended_goes_on_where_it_was(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backing_up.reindex._GROUP", 1)

    embed = place.embedding.aembed_documents

    async def once(texts: list[str]) -> list[list[float]]:
        if place.embedding.texts:
            raise Unavailable("embedding", "gone")
        return await embed(texts)

    monkeypatch.setattr(place.embedding, "aembed_documents", once)
    with pytest.raises(Unavailable):
        await place.reindex().run()
    assert await place.database.claim("chunks") == "chunks"
    monkeypatch.setattr(place.embedding, "aembed_documents", embed)
    await place.reindex().run()
    assert sum("sleeps" in text for text in place.embedding.texts) == 1


async def test_the_former_collection_goes_when_it_is_told_to(place: Place) -> None:
    await place.reindex().run()
    assert await place.client.reads.collection_exists("chunks")
    gone = await Reindex.remove_former(place.database, place.client, "chunks")
    assert gone == ["chunks"]
    assert not await place.client.reads.collection_exists("chunks")
    assert await place.client.reads.collection_exists("chunks-r2")


async def test_the_new_collection_is_refused_to_the_former_model(place: Place) -> None:
    await place.reindex().run()
    vectors = Vectors(place.client, await place.database.claim("chunks"))
    assert await vectors.is_of("chunks-r2", OTHER)
    assert not await vectors.is_of("chunks-r2", STAMP)
    with pytest.raises(IndexMismatchError):
        await vectors.ensure(STAMP)
