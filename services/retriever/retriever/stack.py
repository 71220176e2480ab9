"""What answers requests, put together once per process, and how each part of it is doing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp

from bulkhead.audit import AuditLog
from bulkhead.auth import Principal
from bulkhead.health import Part, Readiness
from bulkhead.profiles import left_out
from retriever.agent.approvals import Approvals
from retriever.agent.audit import audited
from retriever.agent.toolbox import Toolbox
from retriever.answer.flow import Answerer
from retriever.clients.embedding import EmbeddingClient
from retriever.clients.llm import LLMClient
from retriever.clients.mcp import McpServer
from retriever.clients.model_servers import ModelServers
from retriever.clients.quality import QualityClient
from retriever.feedback import Feedback
from retriever.index.index import Index
from retriever.ingest import news
from retriever.ingest.jobs import Jobs
from retriever.ingest.uploads import Uploads
from retriever.keys import CHANNEL as KEYS_CHANNEL
from retriever.keys import Keys
from retriever.limits import Limits, RateLimits
from retriever.login.provider import Provider
from retriever.login.settings import listed
from retriever.login.tokens import Logins
from retriever.neighbours import Neighbours
from retriever.parts import Parts, cancelled, http_session, open_parts
from retriever.search import Searcher
from retriever.settings import RetrieverSettings
from retriever.windows import Windows


@dataclass
class Stack:
    """Everything that a request needs."""

    settings: RetrieverSettings
    parts: Parts
    keys: Keys
    limits: RateLimits
    audit: AuditLog
    llm: ModelServers
    searcher: Searcher
    answerer: Answerer
    jobs: Jobs
    feedback: Feedback
    toolbox: Toolbox
    tool_servers: Sequence[McpServer]
    quality: QualityClient | None = None
    """None where no answer is to be evaluated."""
    logins: Logins | None = None
    """None where people have keys alone."""

    @property
    def embedding(self) -> EmbeddingClient:
        """The embedding service."""
        return self.parts.embedding

    @property
    def index(self) -> Index:
        """The documents and their chunks."""
        return self.parts.index

    @property
    def uploads(self) -> Uploads:
        """What was handed in and waits."""
        return self.parts.uploads

    async def ready(self) -> Readiness:
        """What can be done now: without database or Qdrant nothing, without another part less."""
        more: dict[str, Awaitable[object]] = {
            **{one.name: one.client.check() for one in self.llm.servers},
            **{f"mcp-{one.name}": one.check() for one in self.tool_servers},
        }
        if self.logins is not None:
            more["login"] = self.logins.provider.check()
        states = await self.parts.states(more)
        if len(self.llm.servers) > 1:
            states["llm"] = _any_of({one.name: states[one.name] for one in self.llm.servers})
        states["audit"] = (
            Part(state="down", detail=self.audit.failure)
            if self.audit.failure
            else Part(state="up")
        )
        if not self.limits.windows.alone:
            states["limits"] = await _counting(self.limits.windows)
        absent = "left out: BULKHEAD_PROFILES, as COMPOSE_PROFILES, does not name it"
        states |= {name: Part(state="absent", detail=absent) for name in left_out()}
        return readiness(states)

    async def cancel_job(self, principal: Principal, job_id: str) -> bool:
        """End a job and free what it still held; false when it is not there for the principal.

        Raises `Conflict` when it had come to its end.
        """
        uploads = await self.jobs.cancel(principal, job_id)
        if uploads is None:
            return False
        await self.uploads.remove(uploads)
        return True


async def _counting(windows: Windows) -> Part:
    await windows.check()
    return Part(state="down" if windows.failure else "up", detail=windows.failure)


def readiness(states: dict[str, Part]) -> Readiness:
    """Of these parts: without database or Qdrant nothing goes, without another one less."""
    down = {name for name, part in states.items() if part.state == "down"}
    if down & {"database", "qdrant"}:
        return Readiness(status="unavailable", parts=states)
    return Readiness(status="degraded" if down else "ready", parts=states)


@asynccontextmanager
async def open_stack(
    settings: RetrieverSettings, neighbours: Neighbours, fail: Callable[[str], None]
) -> AsyncIterator[Stack]:
    """The parts, running. `fail` is called when the index turns out not to be ours to use."""
    async with AsyncExitStack() as exits:
        http = await exits.enter_async_context(http_session(settings))
        # Nobody else reaches an embedded index, so its process takes documents in itself.
        parts = await exits.enter_async_context(
            open_parts(
                settings,
                neighbours.database,
                neighbours.qdrant,
                http,
                neighbours.embedding_key,
                neighbours.reranker_key,
                takes_in=settings.qdrant_url is None,
            )
        )
        await exits.enter_async_context(neighbours.audit.writing())
        for server in neighbours.tool_servers:
            exits.push_async_callback(server.close)
        stack = _assemble(settings, neighbours, parts, http, fail)
        exits.push_async_callback(cancelled, asyncio.create_task(stack.toolbox.watch()))
        if settings.quality_url:
            stack.quality = QualityClient(
                http,
                str(settings.quality_url),
                neighbours.quality_token,
                settings.quality_share,
                settings.quality_queue,
            )
            exits.push_async_callback(cancelled, asyncio.create_task(stack.quality.run()))
        if settings.oidc_issuer:
            trust = settings.issuer_trust()
            provider = Provider.watched(
                settings.oidc_issuer, listed(settings.oidc_algorithms), settings.oidc_relay, trust
            )
            stack.logins = Logins(settings, await exits.enter_async_context(provider))
        running = parts.run(fail, stack.keys.watch, stack.jobs.tell)
        exits.push_async_callback(cancelled, asyncio.create_task(running))
        yield stack


def _assemble(
    settings: RetrieverSettings,
    neighbours: Neighbours,
    parts: Parts,
    http: aiohttp.ClientSession,
    fail: Callable[[str], None],
) -> Stack:
    database = parts.database
    limits = Limits(
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
        documents_per_minute=settings.documents_per_minute,
    )
    keys = Keys(database, neighbours.key, limits, neighbours.prober_key)
    jobs = Jobs(database)
    parts.heard[KEYS_CHANNEL] = keys.wake
    taking_in = parts.heard[news.CHANNEL]

    def changed() -> None:
        taking_in()
        jobs.changed()

    parts.heard[news.CHANNEL] = changed
    llm = ModelServers(
        [
            LLMClient(
                http, str(one.url), key, settings.llm_timeout, one.model, settings.llm_model_aliases
            )
            for one, key in zip(settings.model_servers(), neighbours.llm_keys, strict=True)
        ]
    )
    toolbox = Toolbox(
        neighbours.policy,
        neighbours.tool_servers,
        neighbours.secrets,
        fail,
        audited(neighbours.audit),
        Approvals(database, neighbours.policy.approval_seconds),
    )
    return Stack(
        settings=settings,
        parts=parts,
        keys=keys,
        limits=RateLimits(
            keys.limits,
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
        llm=llm,
        searcher=Searcher(parts.index, parts.embedding, parts.bm25, settings),
        answerer=Answerer(settings, neighbours.branding.answers),
        jobs=jobs,
        feedback=Feedback(database),
        toolbox=toolbox,
        tool_servers=neighbours.tool_servers,
    )


def _any_of(servers: Mapping[str, Part]) -> Part:
    """Several model servers as one: up with the first that is."""
    answers = next((name for name, part in servers.items() if part.state == "up"), None)
    if answers is None:
        return Part(state="down", detail="none of the model servers answers")
    return Part(state="up", detail=f"{answers} answers")
