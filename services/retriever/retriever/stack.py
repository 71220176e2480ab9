"""The retriever's parts, put together once per process, and how each of them is doing."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from qdrant_client import AsyncQdrantClient

from bulkhead.auth import KeyRing, Principal, Role, key_digest
from bulkhead.errors import Unavailable
from bulkhead.health import Part, Readiness
from bulkhead.settings import read_secret
from retriever.answer.flow import Answerer
from retriever.clients.embedding import EmbeddingClient, EmbeddingModel
from retriever.clients.llm import LLMClient
from retriever.database import Database, check_version
from retriever.feedback import Feedback
from retriever.index.connect import connect
from retriever.index.documents import Documents
from retriever.index.index import Index
from retriever.index.sparse import BM25
from retriever.index.vectors import IndexMismatchError, Stamp, Vectors
from retriever.ingest.jobs import Jobs
from retriever.ingest.parse import ParseLimits
from retriever.ingest.runner import Runner
from retriever.ingest.spool import Spool
from retriever.ingest.workers import ParserPool
from retriever.search import Searcher
from retriever.settings import RetrieverSettings

logger = logging.getLogger(__name__)

DEFAULT_TENANT = "default"
_SPECIAL_TOKENS = 2  # what the embedding model adds around a text


@dataclass
class Stack:
    """Everything that a request needs."""

    settings: RetrieverSettings
    keys: KeyRing
    embedding: EmbeddingClient
    llm: LLMClient
    vectors: Vectors
    index: Index
    searcher: Searcher
    answerer: Answerer
    jobs: Jobs
    spool: Spool
    feedback: Feedback
    bm25: BM25
    runner: Runner | None = None
    """None until the embedding service has said which model it serves."""
    mismatch: str = ""
    """Why the index cannot be used, once that is known; the process ends then."""

    async def ready(self) -> Readiness:
        """What can be done now: without Qdrant nothing, without another part less."""
        parts = {
            "qdrant": _part(self.vectors.exists()),
            "embedding": _part(self.embedding.model()),
            "llm": _part(self.llm.check()),
        }
        states = dict(zip(parts, await asyncio.gather(*parts.values()), strict=True))
        if self.mismatch:
            states["qdrant"] = Part(state="down", detail=self.mismatch)
        elif self.runner is None and states["embedding"].state == "up":
            states["qdrant"] = Part(state="down", detail="the index is not open yet")
        down = {name for name, part in states.items() if part.state == "down"}
        if "qdrant" in down:
            return Readiness(status="unavailable", parts=states)
        return Readiness(status="degraded" if down else "ready", parts=states)

    async def document_accepted(self) -> None:
        """A job was noted: take its documents in as soon as that can be done."""
        if self.runner is not None:
            await self.runner.wake()


@dataclass(frozen=True)
class Neighbours:
    """What can be opened before the event loop turns, so that a mistake is one line at start."""

    keys: KeyRing
    llm_key: str
    qdrant: AsyncQdrantClient

    @classmethod
    def connect(cls, settings: RetrieverSettings) -> "Neighbours":
        """Read the secrets and open Qdrant. Raises `ValueError` or `RuntimeError`, in words."""
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        admin = Principal("admin", DEFAULT_TENANT, frozenset(), Role.ADMIN)
        keys = KeyRing({key_digest(read_secret(settings.api_key_file)): admin})
        llm_key = read_secret(settings.llm_api_key_file) if settings.llm_api_key_file else "none"
        qdrant_key = settings.qdrant_api_key_file and read_secret(settings.qdrant_api_key_file)
        check_version(store_path(settings))
        qdrant_url = str(settings.qdrant_url) if settings.qdrant_url else None
        folder = settings.data_dir / "qdrant"
        qdrant = connect(qdrant_url, qdrant_key or None, folder, settings.qdrant_timeout)
        return cls(keys, llm_key, qdrant)


def store_path(settings: RetrieverSettings) -> Path:
    """The document store that belongs to the collection: one never says what the other lacks."""
    return settings.data_dir / f"{settings.collection}.sqlite3"


@asynccontextmanager
async def open_stack(
    settings: RetrieverSettings, neighbours: Neighbours, fail: Callable[[str], None]
) -> AsyncIterator[Stack]:
    """The parts, running. `fail` is called when the index turns out not to be ours to use."""
    async with AsyncExitStack() as exits:
        exits.push_async_callback(neighbours.qdrant.close)
        database = await exits.enter_async_context(Database.open(store_path(settings)))
        llm_http = await exits.enter_async_context(httpx.AsyncClient(limits=_LIMITS))
        embedding_http = await exits.enter_async_context(
            httpx.AsyncClient(base_url=str(settings.embedding_url), limits=_LIMITS)
        )
        stack = _assemble(settings, neighbours, database, llm_http, embedding_http)
        stack.spool.keep_only({item.spool for item in await stack.jobs.pending()})
        exits.push_async_callback(_cancelled, asyncio.create_task(_background(stack, fail)))
        yield stack


def _assemble(
    settings: RetrieverSettings,
    neighbours: Neighbours,
    database: Database,
    llm_http: httpx.AsyncClient,
    embedding_http: httpx.AsyncClient,
) -> Stack:
    embedding = EmbeddingClient(
        embedding_http, settings.embedding_timeout, settings.query_embedding_timeout
    )
    llm = LLMClient(llm_http, str(settings.llm_url), neighbours.llm_key, settings.llm_timeout)
    bm25 = BM25(settings.language, settings.bm25_k1, settings.bm25_b, settings.bm25_average_terms)
    vectors = Vectors(neighbours.qdrant, settings.collection)
    index = Index(Documents(database), vectors)
    return Stack(
        settings=settings,
        keys=neighbours.keys,
        embedding=embedding,
        llm=llm,
        vectors=vectors,
        index=index,
        searcher=Searcher(index, embedding, bm25, settings),
        answerer=Answerer(settings, llm.count_tokens),
        jobs=Jobs(database),
        spool=Spool(settings.data_dir / "spool", settings.max_document_bytes),
        feedback=Feedback(database),
        bm25=bm25,
    )


async def _background(stack: Stack, fail: Callable[[str], None]) -> None:
    """Open the index and ingest; an end that nobody asked for ends the process, with the reason."""
    try:
        await _open_and_ingest(stack)
    except IndexMismatchError as error:
        stack.mismatch = str(error)
        fail(stack.mismatch)
    except Exception as error:
        logger.exception("ingestion ended")
        fail(f"ingestion ended: {error}")


async def _open_and_ingest(stack: Stack) -> None:
    """Open the index once the embedding service and Qdrant answer, then work the queue off."""
    settings = stack.settings
    model, tokenizer = await _opened(stack)
    parsers = ParserPool(
        tokenizer,
        max_tokens=min(settings.chunk_tokens, model.max_tokens - _SPECIAL_TOKENS),
        overlap_tokens=settings.chunk_overlap_tokens,
        limits=ParseLimits(max_bytes=settings.max_document_bytes),
        max_workers=settings.parser_processes,
        timeout=settings.parse_timeout,
    )
    try:
        stack.runner = Runner(
            stack.jobs,
            stack.spool,
            parsers,
            stack.embedding,
            stack.bm25,
            stack.index,
            settings.ingest_concurrency,
        )
        await stack.runner.wake()
        await stack.runner.run()
    finally:
        parsers.close()


async def _opened(stack: Stack) -> tuple[EmbeddingModel, str]:
    """The embedding model and its tokenizer, with the index open for them.

    Tries every second until both neighbours answer. Raises `IndexMismatchError`.
    """
    settings = stack.settings
    sparse = (
        f"bm25 {settings.language} k1={settings.bm25_k1} b={settings.bm25_b}"
        f" average={settings.bm25_average_terms}"
    )
    while True:
        try:
            model = await stack.embedding.model()
            tokenizer = await stack.embedding.tokenizer()
            await stack.index.open(Stamp(model.id, model.revision, model.dimension, sparse))
            return model, tokenizer
        except Unavailable as error:
            logger.warning("waiting for a neighbour", extra={"reason": error.message})
            await asyncio.sleep(1)


async def _part(check: Awaitable[object]) -> Part:
    try:
        await asyncio.wait_for(check, 2.0)
    except Unavailable as error:
        return Part(state="down", detail=error.message)
    except TimeoutError:
        return Part(state="down", detail="no answer within 2 s")
    return Part(state="up")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


_LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=50)
