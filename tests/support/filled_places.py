"""Databases and Qdrants with a few documents in them, to be backed up and restored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pyrage
from qdrant_server import ADMIN, BM, KEY
from qdrant_standin import Standin
from sqlalchemy import URL
from state import server, told

from backing_up.archive import Backup, Lock
from backing_up.restore import restore
from retriever.database import Database
from retriever.index.collection import Stamp
from retriever.index.connect import Connection, connect
from retriever.index.documents import Documents
from retriever.index.index import Index
from retriever.index.model import Addition, ChunkSpan, NewDocument
from retriever.index.vectors import Vectors
from retriever.servers import qdrant_server
from retriever.settings import RetrieverSettings

LOCK = Lock(str(pyrage.x25519.Identity.generate()))
STAMP = Stamp("model", "1", 3, "bm25 english k1=1.2 b=0.75 average=10.0")
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
