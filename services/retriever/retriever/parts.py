"""What answering and taking documents in have in common, and how it is opened and kept in order."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp

from bulkhead.errors import Unavailable
from bulkhead.health import Part
from retriever.clients.embedders.shapes import embedder, reranker
from retriever.clients.embedding import IN_FLIGHT, EmbeddingClient, Manner
from retriever.clients.mcp import ToolServerError
from retriever.clients.parser import ParserClient
from retriever.clients.query_cache import QueryCache
from retriever.database import Database
from retriever.index.collection import IndexMismatchError, Stamp, Storage
from retriever.index.connect import Connection
from retriever.index.documents import Documents
from retriever.index.index import Index
from retriever.index.sparse import BM25
from retriever.index.vectors import Vectors
from retriever.ingest import news
from retriever.ingest.chunking import ChunkerPool
from retriever.ingest.prepare import Preparer
from retriever.ingest.runner import Runner
from retriever.ingest.uploads import Uploads
from retriever.ingest.work import Work
from retriever.settings import RetrieverSettings
from retriever.state.listener import listen

logger = logging.getLogger(__name__)

Fail = Callable[[str], None]

_SWEEP_SECONDS = 5.0
_SWEEPS_AN_UPLOAD_SWEEP = 60
_RETRY_SECONDS = 0.5
_BESIDE = 16
"""Connections to a neighbour for what takes no place: ingestion, readiness, counting tokens."""
_IDLE_SECONDS = 2.0
"""uvicorn and llama.cpp close a connection that has been idle for 5 s. Ours ends before: a request
sent into a connection that is just being closed fails."""


@dataclass
class Parts:
    """The stores, the index and what reads documents, with the index open for one model or not."""

    settings: RetrieverSettings
    database: Database
    embedding: EmbeddingClient
    parser: ParserClient
    bm25: BM25
    vectors: Vectors
    index: Index
    uploads: Uploads
    work: Work
    takes_in: bool
    """Whether this process takes documents in."""
    runner: Runner | None = None
    opened: bool = False
    """Whether database and index are known to be this release's, and the index this model's."""
    written: Stamp | None = None
    """What chunks are written with by this process, once the index is open."""
    mismatch: str = ""
    """Why the index cannot be used, once that is known; the process ends then."""
    heard: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What is to be called on news of a channel."""

    async def states(self, more: Mapping[str, Awaitable[object]] | None = None) -> dict[str, Part]:
        """How each is doing, and those in `more`."""
        checks = {
            "database": _part(self.database.check()),
            "qdrant": _part(self.vectors.check()),
            "embedding": _part(self.embedding.model()),
            "ingest": _part(news.check(self.database)),
            **({"parser": _part(self.parser.check())} if self.takes_in else {}),
            **{name: _part(check) for name, check in (more or {}).items()},
        }
        states = dict(zip(checks, await asyncio.gather(*checks.values()), strict=True))
        refusal = self.vectors.refusal or self.database.refusal
        states["writes"] = Part(state="down", detail=refusal) if refusal else Part(state="up")
        if self.mismatch:
            states["qdrant"] = Part(state="down", detail=self.mismatch)
        elif not self.opened and states["embedding"].state == states["database"].state == "up":
            states["qdrant"] = Part(state="down", detail="the index is not open yet")
        elif states["qdrant"].state == "up" and self.vectors.differing:
            states["qdrant"] = Part(state="up", detail=self.vectors.differing)
        return states

    async def run(self, fail: Fail, *beside: Callable[[], Awaitable[None]]) -> None:
        """Bring the schema up, open the index, and keep both in order; with `beside`, from when
        there is a schema. An end that nobody asked for ends the process, with the reason.
        """
        try:
            await self._migrate()
            async with asyncio.TaskGroup() as group:
                group.create_task(listen(self.database, self.heard))
                for one in beside:
                    group.create_task(_awaited(one))
                group.create_task(self._open_and_ingest())
        except* IndexMismatchError as group_of:
            self.mismatch = str(group_of.exceptions[0])
            fail(self.mismatch)
        except* Exception as group_of:
            logger.exception("ingestion ended")
            fail(f"ingestion ended: {group_of.exceptions[0]}")

    async def _migrate(self) -> None:
        while True:
            try:
                await self.database.migrate()
                return
            except Unavailable as error:
                logger.warning("waiting for the database", extra={"reason": error.message})
                await asyncio.sleep(_RETRY_SECONDS)

    async def _open_and_ingest(self) -> None:
        tokenizer = await self._open()
        self.opened = True
        if not self.takes_in:
            await self._sweep()
            return
        settings = self.settings
        chunkers = chunker_pool(settings, self.embedding, tokenizer)
        try:
            self.runner = Runner(
                self.work,
                self.uploads,
                Preparer(self.parser, chunkers),
                self.embedding,
                self.bm25,
                self.index,
                settings.documents_at_once,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(self.runner.run())
                group.create_task(self._sweep())
        finally:
            chunkers.close()

    async def _follow(self) -> None:
        """Go over to the collection that has taken this one's place, where it is of this model.

        Where it is not, this process goes on reading the one it has, and writes no more.
        """
        current = await self.database.claim(self.settings.collection)
        if current == self.vectors.collection or self.written is None:
            return
        if await self.vectors.is_of(current, self.written):
            logger.info("chunks are in another collection now", extra={"reason": current})
            self.vectors.use(current)
        else:
            logger.warning("the index is of another model now: start anew with that one")

    async def _sweep(self) -> None:
        """Clear now and then what broke off, and see whether stores that refused writes take them.

        Of processes that do so at once each finds what the others have not cleared.
        """
        sweeps = 0
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            sweeps += 1
            with suppress(Unavailable):  # /readyz says so
                await self._follow()
                await self.index.sweep()
                if self.takes_in and sweeps % _SWEEPS_AN_UPLOAD_SWEEP == 0:
                    await self.uploads.sweep()
                if self.database.refusal:
                    await self.database.probe()

    async def _open(self) -> str:
        """The embedding model's tokenizer, with the index open for the model.

        Tries every second until all neighbours answer. Raises `IndexMismatchError`, and
        `ValueError` where the database's documents are in another collection.
        """
        settings = self.settings
        while True:
            try:
                self.vectors.use(await self.database.claim(settings.collection))
                self.written = await stamp(settings, self.embedding)
                tokenizer = await self.embedding.tokenizer()
                await self.index.open(self.written)
                if settings.qdrant_url is None:  # whoever had the embedded index before is gone
                    await self.work.take_over()
                return tokenizer
            except Unavailable as error:
                logger.warning("waiting for a neighbour", extra={"reason": error.message})
                await asyncio.sleep(1)

    def wake(self) -> None:
        """Jobs changed."""
        if self.runner is not None:
            self.runner.wake()


@asynccontextmanager
async def open_parts(
    settings: RetrieverSettings,
    database: Database,
    qdrant: Connection,
    http: aiohttp.ClientSession,
    embedding_key: str = "",
    reranker_key: str = "",
    *,
    takes_in: bool,
) -> AsyncIterator[Parts]:
    """The parts, not yet running; what they were given is closed with them."""
    embedding = embedding_client(settings, http, embedding_key, reranker_key)
    parser = parser_client(settings)
    vectors = chunks(settings, qdrant)
    parts = Parts(
        settings=settings,
        database=database,
        embedding=embedding,
        parser=parser,
        bm25=bm25(settings),
        vectors=vectors,
        index=Index(Documents(database), vectors),
        uploads=Uploads(database, settings.max_document_bytes),
        work=Work(database),
        takes_in=takes_in,
    )
    parts.heard[news.CHANNEL] = parts.wake
    try:
        yield parts
    finally:
        await parser.close()
        await database.close()
        await qdrant.close()


def embedding_client(
    settings: RetrieverSettings,
    http: aiohttp.ClientSession,
    embedding_key: str = "",
    reranker_key: str = "",
) -> EmbeddingClient:
    """The embedding service, and what reranks, as the settings say."""
    return EmbeddingClient(
        embedder(http, settings, embedding_key),
        reranker(http, settings, reranker_key),
        Manner(
            settings.embedding_timeout,
            settings.query_embedding_timeout,
            settings.embedding_batch,
            settings.embedding_query_prefix,
            settings.embedding_passage_prefix,
        ),
        QueryCache(settings.query_cache_entries),
    )


def parser_client(settings: RetrieverSettings) -> ParserClient:
    """The parsers, as the settings say."""
    where = str(settings.parser_url) if settings.parser_url else settings.parser_sockets
    return ParserClient(where, settings.parser_timeout)


def chunker_pool(
    settings: RetrieverSettings, embedding: EmbeddingClient, tokenizer: str
) -> ChunkerPool:
    """What cuts texts, as the settings say and the embedding model has room for."""
    return ChunkerPool(
        tokenizer,
        max_tokens=min(settings.chunk_tokens, embedding.room(tokenizer)),
        overlap_tokens=settings.chunk_overlap_tokens,
        processes=settings.chunk_processes,
        chunker=settings.chunker,
    )


def bm25(settings: RetrieverSettings) -> BM25:
    """What weighs words, as the settings say."""
    return BM25(settings.language, settings.bm25_k1, settings.bm25_b, settings.bm25_average_terms)


def chunks(settings: RetrieverSettings, qdrant: Connection) -> Vectors:
    """The collection, as the settings say."""
    return Vectors(qdrant, settings.collection, settings.metadata_indexes, _storage(settings))


async def stamp(settings: RetrieverSettings, embedding: EmbeddingClient) -> Stamp:
    """What chunks are written with now, by the service and the settings. Raises `Unavailable`."""
    model = await embedding.model()
    sparse = (
        f"bm25 {settings.language} k1={settings.bm25_k1} b={settings.bm25_b}"
        f" average={settings.bm25_average_terms}"
    )
    return Stamp(model.id, embedding.revision(), model.dimension, sparse)


def _storage(settings: RetrieverSettings) -> Storage | None:
    """How a Qdrant server is to keep a new collection; none where Qdrant is embedded."""
    if settings.qdrant_url is None:
        return None
    return Storage(
        settings.qdrant_shards,
        settings.qdrant_replication_factor,
        settings.qdrant_write_consistency_factor,
        settings.qdrant_vectors_on_disk,
        settings.qdrant_payload_on_disk,
        settings.qdrant_quantization,
        settings.qdrant_oversampling,
    )


def http_session(settings: RetrieverSettings) -> aiohttp.ClientSession:
    """For all neighbours.

    By aiohttp, whose parser is C: a call takes a fifth of the processor time of httpx2's, and a
    read of a stream holds all that has come.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            limit_per_host=settings.concurrent_searches
            + settings.concurrent_chats
            + settings.concurrent_embeddings * IN_FLIGHT
            + _BESIDE,
            keepalive_timeout=_IDLE_SECONDS,
        )
    )


async def cancelled(task: "asyncio.Task[None]") -> None:
    """Cancel it, and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _awaited(call: Callable[[], Awaitable[None]]) -> None:
    await call()


async def _part(check: Awaitable[object]) -> Part:
    try:
        await asyncio.wait_for(check, 2.0)
    except (Unavailable, ToolServerError) as error:
        return Part(state="down", detail=str(error))
    except TimeoutError:
        return Part(state="down", detail="no answer within 2 s")
    return Part(state="up")
