"""Embeds all chunks anew into a collection of its own, and puts it in the place of the old one.

While it is filled, searches and uploads go on in the old one. Then the rest is done while no
document becomes live or is hidden, and the database says in one transaction which collection holds
from then on: whoever still writes to the old one cannot publish (`retriever.index.documents`).
What is done stays done: a run that was ended goes on where it was.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from qdrant_client import models
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from backing_up.archive import BackupError
from backing_up.points import of_server, stamp_of_server
from bulkhead.errors import Unavailable
from retriever.clients.embedding import EmbeddingClient
from retriever.database import Database
from retriever.index.collection import Stamp
from retriever.index.connect import Connection
from retriever.index.points import DENSE, SPARSE
from retriever.index.reaching import reaching
from retriever.index.sparse import BM25
from retriever.index.vectors import Vectors
from retriever.ingest.shapes import searchable
from retriever.state import locks
from retriever.state.schema import CURRENT, NEXT, collection, documents

_GROUP = 64
"""Chunks of one request for embeddings, or a few more."""
_FEW = 256
"""Chunks that are left to do while documents are held still."""
_MOST_PASSES = 100


@dataclass
class Reindex:
    """What it is made of. `vectors` is used for the collection that is being filled."""

    database: Database
    client: Connection
    vectors: Vectors
    embedding: EmbeddingClient
    bm25: BM25
    stamp: Stamp
    base: str
    """RETRIEVER_COLLECTION."""
    say: Callable[[str], None]

    async def run(self) -> str:
        """Do all of it; gives the collection's name. Raises `BackupError`, `Unavailable`."""
        old = await self.database.claim(self.base)
        before = await stamp_of_server(self.client, old)
        if before is None:
            raise BackupError(f"there is no collection {old!r} to embed anew")
        if before.layout != self.stamp.layout:
            raise BackupError("another release wrote the chunks: hand the documents in again")
        new = await self._next(old)
        self.vectors.use(new)
        await self.vectors.ensure(self.stamp)
        for _ in range(_MOST_PASSES):
            left = await self._pass(old, new)
            if left <= _FEW:
                break
        async with self.database.locked([locks.CHANGES]) as held:
            await self._pass(old, new)
            if await self._left(new):
                raise BackupError("documents changed faster than they were embedded: run it again")
            await held.execute(
                update(collection).where(collection.c.id == CURRENT).values(name=new)
            )
            await held.execute(delete(collection).where(collection.c.id == NEXT))
        return new

    @staticmethod
    async def remove_former(database: Database, client: Connection, base: str) -> list[str]:
        """Remove the collections whose place another took; gives their names."""
        current = await database.claim(base)
        gone = []
        for number in range(1, _number(current)):
            name = _name(base, number)
            with reaching():
                if await client.reads.collection_exists(name):
                    await client.writes.delete_collection(name)
                    gone.append(name)
        return gone

    async def _next(self, old: str) -> str:
        """The collection to fill: the one that was begun, if it is of this model."""
        name = _name(self.base, _number(old) + 1)
        begun = await self.database.row(select(collection.c.name).where(collection.c.id == NEXT))
        there = await stamp_of_server(self.client, name)
        if there is not None and (begun is None or there != self.stamp):
            # Nobody reads it: it was being filled with another model, or is left of a restore.
            with reaching():
                await self.client.writes.delete_collection(name)
        one = insert(collection).values(id=NEXT, name=name)
        await self.database.write(
            one.on_conflict_do_update(index_elements=[collection.c.id], set_={"name": name})
        )
        return name

    async def _live(self) -> dict[str, int]:
        rows = await self.database.rows(
            select(documents.c.id, documents.c.chunks).where(documents.c.state == "live")
        )
        return {row.id: row.chunks for row in rows}

    async def _left(self, new: str) -> int:
        """How many live documents are not wholly in the new collection, or in it and not live."""
        there, live = await self._there(new), await self._live()
        return sum(there[one] != chunks for one, chunks in live.items()) + len(
            there.keys() - live.keys()
        )

    async def _there(self, new: str) -> Counter[str]:
        """How many points each document has in the new collection."""
        found: Counter[str] = Counter()
        ids = of_server(self.client, new, vectors=False, fields=["document_id"])
        async for point in ids:
            found[_document(point)] += 1
        return found

    async def _pass(self, old: str, new: str) -> int:
        """Bring in what is missing, take out what is gone; how many chunks that were."""
        live, there = await self._live(), await self._there(new)
        if gone := sorted(there.keys() - live.keys()):
            await self.vectors.delete(gone)
        missing = {one for one, chunks in live.items() if there[one] != chunks}
        if not missing:
            return 0
        done, group = 0, list[models.PointStruct]()
        async for point in of_server(self.client, old, vectors=False):
            if _document(point) in missing:
                group.append(point)
            if len(group) == _GROUP:
                done += await self._write(new, group)
                self.say(f"{done} chunks")
                group = []
        return done + await self._write(new, group)

    async def _write(self, new: str, group: Sequence[models.PointStruct]) -> int:
        if not group:
            return 0
        texts = [_text(cast(Mapping[str, Any], point.payload)) for point in group]
        dense = await self.embedding.aembed_documents(texts)
        points = [
            models.PointStruct(
                id=point.id, vector={DENSE: one, SPARSE: words}, payload=point.payload
            )
            for point, one, words in zip(group, dense, self.bm25.documents(texts), strict=True)
        ]
        try:
            with reaching():
                await self.client.writes.upsert(new, points, wait=True)
        except Unavailable as error:
            raise BackupError(f"{error.message}; run it again, it goes on from here") from error
        return len(points)


def _document(point: models.PointStruct) -> str:
    return str(cast(Mapping[str, Any], point.payload)["document_id"])


def _text(payload: Mapping[str, Any]) -> str:
    return searchable(
        payload["title"],
        payload.get("heading", ""),  # chunks of earlier releases do not know it
        payload.get("table_header", ""),
        payload["text"],
    )


def _number(name: str) -> int:
    found = re.search(r"-r(\d+)$", name)
    return int(found[1]) if found else 1


def _name(base: str, number: int) -> str:
    return base if number == 1 else f"{base}-r{number}"
