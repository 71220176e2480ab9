"""What every step is told, and the stores and neighbours that it opens with it where it runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from bulk.embedder import LocalEmbedder
from bulk.rows import Taking
from bulk.settings import BulkSettings
from bulkhead.auth import Principal
from bulkhead.errors import Unavailable
from embedding.backend import cores
from embedding.settings import EmbeddingSettings
from retriever.clients.embedding import EmbeddingClient, Manner, Refused
from retriever.clients.query_cache import QueryCache
from retriever.database import Database, database_url
from retriever.index.connect import connect
from retriever.index.documents import Documents, Moved
from retriever.index.index import Index
from retriever.index.vectors import Vectors
from retriever.ingest.retry import retried
from retriever.ingest.runs import Runs
from retriever.parts import chunks, embedding_client, http_session
from retriever.servers import key_in, qdrant_server
from retriever.settings import RetrieverSettings

T = TypeVar("T")


@dataclass(frozen=True)
class Told:
    """All that a step is told, but secrets: each node reads them from its own files."""

    retriever: RetrieverSettings
    bulk: BulkSettings
    embedding: EmbeddingSettings
    source: str
    prefix: str
    taking: Taking
    who: Principal
    job_id: str = ""
    collection: str = ""


@dataclass(frozen=True)
class Stores:
    """The database and the index, as this process has them open."""

    database: Database
    documents: Documents
    vectors: Vectors
    index: Index
    runs: Runs


@asynccontextmanager
async def open_stores(settings: RetrieverSettings, collection: str = "") -> AsyncIterator[Stores]:
    """The stores; raises `ValueError` where a setting cannot be used."""
    server = qdrant_server(settings)
    if server is None:
        raise ValueError("RETRIEVER_QDRANT_URL: a bulk run writes to a Qdrant server")
    database = Database(database_url(settings.database_url, settings.database_password_file))
    qdrant = connect(server, settings.data_dir)
    vectors = chunks(settings, qdrant)
    if collection:
        vectors.use(collection)
    documents = Documents(database)
    try:
        yield Stores(database, documents, vectors, Index(documents, vectors), Runs(database))
    finally:
        await database.close()
        await qdrant.close()


@asynccontextmanager
async def open_embedding(told: Told) -> AsyncIterator[EmbeddingClient]:
    """Who embeds: the service, or the model in this process."""
    async with AsyncExitStack() as opened:
        settings = told.retriever
        if told.bulk.embedding == "service":
            http = await opened.enter_async_context(http_session(settings))
            yield embedding_client(settings, http, key_in(settings.embedding_api_key_file))
            return
        threads = max(1, cores() // told.bulk.embedders)
        local = await asyncio.to_thread(LocalEmbedder, told.embedding, threads)
        opened.push_async_callback(local.close)
        manner = Manner(
            settings.embedding_timeout,
            settings.query_embedding_timeout,
            local.most_texts,
            passage_prefix=settings.embedding_passage_prefix,
        )
        yield EmbeddingClient(local, local, manner, QueryCache(0))


class Patience:
    """Waits for stores and neighbours as long as they are away, and has the job say so."""

    def __init__(self, runs: Runs, job_id: str) -> None:
        self._runs = runs
        self._job_id = job_id

    async def until(self, step: Callable[[], Awaitable[T]]) -> T:
        """What the step gives, once it can.

        Raises what is no neighbour's passing fault, and `Ended` where the run is over meanwhile.
        """
        return await retried(step, self._tell, (Refused, Moved))

    async def _tell(self, reason: str | None) -> None:
        with suppress(Unavailable):  # the job tells of it as soon as there is a database
            await self._runs.wait(self._job_id, reason)
