"""The embedding service's app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from bulkhead import __version__
from bulkhead.app import create_app
from bulkhead.health import Part, Readiness
from embedding import api
from embedding.backend import Backend, cores
from embedding.engine import Engine
from embedding.settings import EmbeddingSettings


def _computing(settings: EmbeddingSettings) -> dict[str, int]:
    """How a CPU's cores or a GPU are best kept busy."""
    if settings.device == "cpu":
        return {"workers": settings.threads or cores()}
    # A launch takes as long as thousands of tokens (docs/performance.md, "On a GPU").
    return {"launch_tokens": settings.batch_tokens // 4}


def create(settings: EmbeddingSettings, backend: Backend) -> FastAPI:
    """The app around a loaded model; it is warm before the first request."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = Engine(
            backend,
            batch_tokens=settings.batch_tokens,
            queue_texts=settings.queue_texts,
            cache_texts=settings.cache_texts,
            **_computing(settings),
        )
        await engine.start()
        app.state.engine = engine
        yield
        await engine.stop()

    async def ready() -> Readiness:
        engine: Engine = app.state.engine
        if engine.running:
            return Readiness(status="ready", parts={"model": Part(state="up")})
        down = Part(state="down", detail="the engine has stopped")
        return Readiness(status="unavailable", parts={"model": down})

    app = create_app(
        name="embedding",
        title="Bulkhead embedding",
        description="Text to vectors and to relevance, in batches.",
        version=__version__,
        settings=settings,
        routers=[api.router],
        ready=ready,
        lifespan=lifespan,
    )
    app.state.truncate = settings.truncate
    return app
