"""The process that takes documents in, any number of them; it answers no questions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from bulkhead import __version__
from bulkhead.app import create_app
from bulkhead.health import READY_SECONDS, Readiness, kept
from retriever.database import Database, database_url
from retriever.index.connect import connect
from retriever.ingest.chunkers import check_chunker
from retriever.parts import Parts, cancelled, http_session, open_parts
from retriever.servers import key_in, qdrant_server
from retriever.settings import RetrieverSettings
from retriever.stack import readiness


def create(settings: RetrieverSettings) -> FastAPI:
    """The worker's app, which is asked for its health alone.

    Raises `ValueError`, in words for the operator, for a setting that cannot be used, and without a
    Qdrant server: an embedded index is the retriever's own.
    """
    server = qdrant_server(settings)
    if server is None:
        raise ValueError(
            "RETRIEVER_QDRANT_URL: without a Qdrant server the retriever takes documents in itself"
        )
    check_chunker(settings.chunker)
    key = key_in(settings.embedding_api_key_file)
    url = database_url(settings.database_url, settings.database_password_file)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        qdrant = connect(server, settings.data_dir)
        async with (
            http_session(settings) as http,
            open_parts(settings, Database(url), qdrant, http, key, takes_in=True) as parts,
        ):
            app.state.parts = parts
            running = asyncio.create_task(parts.run(app.state.fail))
            try:
                yield
            finally:
                await cancelled(running)

    async def ready() -> Readiness:
        parts: Parts = app.state.parts
        return readiness(await parts.states())

    app = create_app(
        name="ingest",
        title="Bulkhead ingest",
        description="Takes documents in.",
        version=__version__,
        settings=settings,
        routers=[],
        ready=kept(ready, READY_SECONDS),
        lifespan=lifespan,
        documented=False,
    )
    return app
