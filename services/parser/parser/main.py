"""The parser's app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from bulkhead import __version__
from bulkhead.app import create_app
from bulkhead.health import Part, Readiness
from parser import api
from parser.model import MIB
from parser.parse import version
from parser.plugins import load
from parser.pool import ParserPool
from parser.settings import ParserSettings


def create(settings: ParserSettings) -> FastAPI:
    """The app; its processes start with the first document.

    Raises `ValueError`, in words, for a plug-in that cannot be used.
    """
    ocr, plugins = settings.ocr(), load(settings.plugins)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        pool = ParserPool(
            settings.limits(),
            ocr,
            settings.plugins,
            processes=settings.processes,
            seconds=settings.timeout,
            memory_bytes=settings.memory_mib * MIB,
        )
        app.state.pool = pool
        app.state.version = version(ocr, plugins)
        app.state.free = asyncio.Semaphore(settings.processes)
        yield
        await asyncio.to_thread(pool.close)

    async def ready() -> Readiness:
        missing = ", ".join(ocr.missing)
        detail = f"Tesseract's data is missing for: {missing}" if missing else str(ocr)
        parts = {
            "pool": Part(state="up"),
            "ocr": Part(state="up" if ocr.folder else "down", detail=detail),
        }
        return Readiness(status="ready", parts=parts)

    return create_app(
        name="parser",
        title="Bulkhead parser",
        description="Documents to text.",
        version=__version__,
        settings=settings,
        routers=[api.router],
        ready=ready,
        lifespan=lifespan,
        documented=False,
    )
