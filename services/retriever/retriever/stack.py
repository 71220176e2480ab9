"""The retriever's parts, put together once per process, and how each of them is doing."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp

from bulkhead.audit import AuditLog
from bulkhead.auth import Principal
from bulkhead.errors import Unavailable
from bulkhead.health import Part, Readiness
from retriever.agent.audit import audited
from retriever.agent.toolbox import Toolbox
from retriever.answer.flow import Answerer
from retriever.clients.embedders.shapes import embedder, reranker
from retriever.clients.embedding import IN_FLIGHT, EmbeddingClient, Manner
from retriever.clients.llm import LLMClient
from retriever.clients.mcp import McpServer, ToolServerError
from retriever.clients.parser import ParserClient
from retriever.clients.quality import QualityClient
from retriever.clients.query_cache import QueryCache
from retriever.database import Database
from retriever.feedback import Feedback
from retriever.index.documents import Documents
from retriever.index.index import Index
from retriever.index.sparse import BM25
from retriever.index.vectors import IndexMismatchError, Stamp, Storage, Vectors
from retriever.ingest import measures
from retriever.ingest.chunking import ChunkerPool
from retriever.ingest.jobs import Jobs
from retriever.ingest.prepare import Preparer
from retriever.ingest.runner import Runner
from retriever.ingest.spool import Spool
from retriever.keys import Keys
from retriever.limits import RateLimits
from retriever.login.provider import Provider
from retriever.login.settings import listed
from retriever.login.tokens import Logins
from retriever.neighbours import Neighbours, store_path
from retriever.search import Searcher
from retriever.settings import RetrieverSettings
from retriever.windows import Windows

logger = logging.getLogger(__name__)


@dataclass
class Stack:
    """Everything that a request needs."""

    settings: RetrieverSettings
    keys: Keys
    limits: RateLimits
    audit: AuditLog
    embedding: EmbeddingClient
    parser: ParserClient
    llm: LLMClient
    vectors: Vectors
    index: Index
    searcher: Searcher
    answerer: Answerer
    database: Database
    jobs: Jobs
    spool: Spool
    feedback: Feedback
    bm25: BM25
    toolbox: Toolbox
    tool_servers: Sequence[McpServer]
    quality: QualityClient | None = None
    """None where no answer is to be evaluated."""
    logins: Logins | None = None
    """None where people have keys alone."""
    runner: Runner | None = None
    """None until the embedding service has said which model it serves."""
    mismatch: str = ""
    """Why the index cannot be used, once that is known; the process ends then."""

    async def ready(self) -> Readiness:
        """What can be done now: without Qdrant nothing, without another part less."""
        parts = {
            "qdrant": _part(self.vectors.check()),
            "embedding": _part(self.embedding.model()),
            "parser": _part(self.parser.check()),
            "llm": _part(self.llm.check()),
            **{f"mcp-{one.name}": _part(one.check()) for one in self.tool_servers},
        }
        if self.logins is not None:
            parts["login"] = _part(self.logins.provider.check())
        states = dict(zip(parts, await asyncio.gather(*parts.values()), strict=True))
        states["audit"] = (
            Part(state="down", detail=self.audit.failure)
            if self.audit.failure
            else Part(state="up")
        )
        if not self.limits.windows.alone:
            states["limits"] = await _counting(self.limits.windows)
        refusal = self.vectors.refusal or self.database.refusal
        states["writes"] = Part(state="down", detail=refusal) if refusal else Part(state="up")
        if self.mismatch:
            states["qdrant"] = Part(state="down", detail=self.mismatch)
        elif self.runner is None and states["embedding"].state == "up":
            states["qdrant"] = Part(state="down", detail="the index is not open yet")
        elif states["qdrant"].state == "up" and self.vectors.differing:
            states["qdrant"] = Part(state="up", detail=self.vectors.differing)
        down = {name for name, part in states.items() if part.state == "down"}
        if "qdrant" in down:
            return Readiness(status="unavailable", parts=states)
        return Readiness(status="degraded" if down else "ready", parts=states)

    async def job_accepted(self, job_id: str) -> None:
        """A job was noted: take its documents in as soon as that can be done."""
        if self.runner is not None:
            await self.runner.wake(job_id)

    async def cancel_job(self, principal: Principal, job_id: str) -> bool:
        """End a job and free what it still held; false when it is not there for the principal.

        Raises `Conflict` when it had come to its end.
        """
        spooled = await self.jobs.cancel(principal, job_id)
        if spooled is None:
            return False
        if self.runner is not None:
            self.runner.drop(job_id)
        self.spool.remove(spooled)
        return True


@asynccontextmanager
async def open_stack(
    settings: RetrieverSettings, neighbours: Neighbours, fail: Callable[[str], None]
) -> AsyncIterator[Stack]:
    """The parts, running. `fail` is called when the index turns out not to be ours to use."""
    async with AsyncExitStack() as exits:
        exits.push_async_callback(neighbours.qdrant.close)
        exits.callback(neighbours.keys.close)
        await exits.enter_async_context(neighbours.audit.writing())
        database = await exits.enter_async_context(Database.open(store_path(settings)))
        # By aiohttp, whose parser is C: a call takes a fifth of the processor time of httpx2's, and
        # a read of a stream holds all that has come.
        http = await exits.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    limit_per_host=settings.concurrent_searches
                    + settings.concurrent_chats
                    + settings.concurrent_embeddings * IN_FLIGHT
                    + _BESIDE,
                    keepalive_timeout=_IDLE_SECONDS,
                )
            )
        )
        for server in neighbours.tool_servers:
            exits.push_async_callback(server.close)
        toolbox = Toolbox(
            neighbours.policy,
            neighbours.tool_servers,
            neighbours.secrets,
            fail,
            audited(neighbours.audit),
        )
        exits.push_async_callback(_cancelled, asyncio.create_task(toolbox.watch()))
        where = str(settings.parser_url) if settings.parser_url else settings.parser_sockets
        parser = ParserClient(where, settings.parser_timeout)
        exits.push_async_callback(parser.close)
        stack = _assemble(settings, neighbours, database, http, parser, toolbox)
        if settings.quality_url:
            stack.quality = QualityClient(
                http,
                str(settings.quality_url),
                neighbours.quality_token,
                settings.quality_share,
                settings.quality_queue,
            )
            exits.push_async_callback(_cancelled, asyncio.create_task(stack.quality.run()))
        if settings.oidc_issuer:
            trust = settings.issuer_trust()
            provider = Provider.watched(
                settings.oidc_issuer, listed(settings.oidc_algorithms), settings.oidc_relay, trust
            )
            stack.logins = Logins(settings, await exits.enter_async_context(provider))
        waiting = await stack.jobs.waiting()
        measures.accepted(len(waiting))
        stack.spool.keep_only({item.new.spool for item in waiting})
        exits.push_async_callback(_cancelled, asyncio.create_task(_background(stack, fail)))
        yield stack


def _assemble(
    settings: RetrieverSettings,
    neighbours: Neighbours,
    database: Database,
    http: aiohttp.ClientSession,
    parser: ParserClient,
    toolbox: Toolbox,
) -> Stack:
    embedding = EmbeddingClient(
        embedder(http, settings, neighbours.embedding_key),
        reranker(http, settings, neighbours.reranker_key),
        Manner(
            settings.embedding_timeout,
            settings.query_embedding_timeout,
            settings.embedding_batch,
            settings.embedding_query_prefix,
            settings.embedding_passage_prefix,
        ),
        QueryCache(settings.query_cache_entries),
    )
    llm = LLMClient(
        http,
        str(settings.llm_url),
        neighbours.llm_key,
        settings.llm_timeout,
        settings.llm_model,
        settings.llm_model_aliases,
    )
    bm25 = BM25(settings.language, settings.bm25_k1, settings.bm25_b, settings.bm25_average_terms)
    vectors = Vectors(
        neighbours.qdrant, settings.collection, settings.metadata_indexes, _storage(settings)
    )
    index = Index(Documents(database), vectors)
    return Stack(
        settings=settings,
        keys=neighbours.keys,
        limits=RateLimits(
            neighbours.keys.limits,
            settings.refusals_per_minute,
            {
                "searches": settings.concurrent_searches,
                "chats": settings.concurrent_chats,
                "embeddings": settings.concurrent_embeddings,
                "uploads": settings.concurrent_uploads,
            },
            neighbours.windows,
        ),
        audit=neighbours.audit,
        embedding=embedding,
        parser=parser,
        llm=llm,
        vectors=vectors,
        index=index,
        searcher=Searcher(index, embedding, bm25, settings),
        answerer=Answerer(settings, llm.count_tokens, neighbours.branding.answers),
        database=database,
        jobs=Jobs(database),
        spool=Spool(settings.data_dir / "spool", settings.max_document_bytes),
        feedback=Feedback(database),
        bm25=bm25,
        toolbox=toolbox,
        tool_servers=neighbours.tool_servers,
    )


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
    tokenizer = await _opened(stack)
    chunkers = ChunkerPool(
        tokenizer,
        max_tokens=min(settings.chunk_tokens, stack.embedding.room(tokenizer)),
        overlap_tokens=settings.chunk_overlap_tokens,
        processes=settings.chunk_processes,
        chunker=settings.chunker,
    )
    try:
        stack.runner = Runner(
            stack.jobs,
            stack.spool,
            Preparer(stack.parser, chunkers),
            stack.embedding,
            stack.bm25,
            stack.index,
            settings.documents_at_once,
        )
        await stack.runner.wake()
        async with asyncio.TaskGroup() as group:
            group.create_task(stack.runner.run())
            group.create_task(_sweep(stack))
    finally:
        chunkers.close()


async def _sweep(stack: Stack) -> None:
    """Clear now and then what broke off, and see whether stores that refused writes take them."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        with suppress(Unavailable):  # /readyz says so
            await stack.index.sweep()
            if stack.database.refusal:
                await stack.database.probe()


async def _opened(stack: Stack) -> str:
    """The embedding model's tokenizer, with the index open for the model.

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
            revision = stack.embedding.revision()
            await stack.index.open(Stamp(model.id, revision, model.dimension, sparse))
            return tokenizer
        except Unavailable as error:
            logger.warning("waiting for a neighbour", extra={"reason": error.message})
            await asyncio.sleep(1)


async def _counting(windows: Windows) -> Part:
    await windows.check()
    return Part(state="down" if windows.failure else "up", detail=windows.failure)


async def _part(check: Awaitable[object]) -> Part:
    try:
        await asyncio.wait_for(check, 2.0)
    except (Unavailable, ToolServerError) as error:
        return Part(state="down", detail=str(error))
    except TimeoutError:
        return Part(state="down", detail="no answer within 2 s")
    return Part(state="up")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


_SWEEP_SECONDS = 5.0
_BESIDE = 16
"""Connections to a neighbour for what takes no place: ingestion, readiness, counting tokens."""
_IDLE_SECONDS = 2.0
"""uvicorn and llama.cpp close a connection that has been idle for 5 s. Ours ends before: a request
sent into a connection that is just being closed fails."""
