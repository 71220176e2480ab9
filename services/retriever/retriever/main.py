"""The retriever's app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from bulkhead import __version__
from bulkhead.app import create_app
from bulkhead.health import READY_SECONDS, Readiness, kept
from retriever.api import (
    approvals,
    chat,
    documents,
    embeddings,
    feedback,
    jobs,
    keys,
    models,
    responses,
    search,
)
from retriever.api.access import Access
from retriever.api.hosts import Hosts
from retriever.api.mcp import Refusals, add_mcp, serving
from retriever.api.resource import add_metadata
from retriever.api.web import add_page
from retriever.neighbours import Neighbours
from retriever.settings import RetrieverSettings
from retriever.stack import Stack, open_stack

_DESCRIPTION = """
Documents in; a grounded, cited, streamed answer out.

`POST /v1/chat/completions` is OpenAI's call: point any OpenAI client at `/v1` with your key.
`POST /mcp` is the same for agents that speak MCP, with the tools `search_documents`, `ask` and
`read_document`.
"""


def create(settings: RetrieverSettings) -> FastAPI:
    """The app.

    Raises `ValueError` or `RuntimeError`, in words for the operator, when a secret file is missing
    or another process has the data folder open.
    """
    neighbours = Neighbours.connect(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_stack(settings, neighbours, app.state.fail) as stack:
            app.state.stack = stack
            async with serving(stack) as app.state.mcp:
                yield

    async def ready() -> Readiness:
        stack: Stack = app.state.stack
        return await stack.ready()

    app = create_app(
        name="retriever",
        title=f"{neighbours.branding.looks.title} retriever",
        description=_DESCRIPTION,
        version=__version__,
        settings=settings,
        routers=[
            one.router
            for one in (
                chat,
                responses,
                search,
                embeddings,
                documents,
                jobs,
                models,
                feedback,
                keys,
                approvals,
            )
        ],
        ready=kept(ready, READY_SECONDS),
        lifespan=lifespan,
        middleware=[
            *_hosts(settings),
            *_cross_origin(settings),
            Middleware(Refusals),
            Middleware(Access),
        ],
    )
    add_mcp(app)
    if settings.oidc_issuer:
        add_metadata(app, settings)
    add_page(app, settings, neighbours.branding, bool(neighbours.tool_servers))
    return app


def _hosts(settings: RetrieverSettings) -> list[Middleware]:
    names = settings.served_hosts()
    return [Middleware(Hosts, names=names)] if names else []


def _cross_origin(settings: RetrieverSettings) -> list[Middleware]:
    """Lets pages of the origins named call the API. Keys travel in a header, never in a cookie."""
    origins = settings.allowed_origins()
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=[
                "Authorization",
                "Api-Key",
                "Content-Type",
                "Idempotency-Key",
                "MCP-Protocol-Version",
                "Mcp-Method",
                "Mcp-Name",
                "Mcp-Session-Id",
            ],
            expose_headers=["X-Request-ID", "Retry-After", "Location"],
        )
    ]
