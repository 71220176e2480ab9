"""`/healthz` says the process lives; `/readyz` says what it can do."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from bulkhead.instance import instance_id

READY_SECONDS = 1.0
"""How long an answer of `/readyz` holds where neighbours are asked: once, however many ask."""


class Part(BaseModel):
    """One thing the service leans on."""

    state: Literal["up", "down", "absent"]
    """`absent`: left out by choice."""
    detail: str = ""


class Readiness(BaseModel):
    """What the service can do now. `degraded` still serves; `unavailable` answers 503."""

    status: Literal["ready", "degraded", "unavailable"]
    parts: dict[str, Part]
    instance: str = Field(default_factory=instance_id)
    """Which of several processes answers."""


class Alive(BaseModel):
    """The process lives and its event loop turns."""

    status: Literal["alive"] = "alive"


def kept(
    check: Callable[[], Awaitable[Readiness]], seconds: float
) -> Callable[[], Awaitable[Readiness]]:
    """`check`, whose answer holds for so many seconds; who asks while it runs gets the same one."""
    asked: asyncio.Task[Readiness] | None = None
    until = 0.0

    async def answer() -> Readiness:
        nonlocal asked, until
        if asked is None or (asked.done() and time.monotonic() >= until):
            asked = asyncio.create_task(run())
        return await asyncio.shield(asked)

    async def run() -> Readiness:
        nonlocal until
        try:
            return await check()
        finally:
            until = time.monotonic() + seconds

    return answer


def health_router(check: Callable[[], Awaitable[Readiness]]) -> APIRouter:
    """The two health calls; `check` is asked at every `/readyz`, so it must be quick."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="The process lives")
    async def healthz() -> Alive:
        return Alive()

    @router.get(
        "/readyz",
        summary="What the service can do now",
        responses={503: {"model": Readiness, "description": "It cannot serve at all"}},
    )
    async def readyz(response: Response) -> Readiness:
        readiness = await check()
        if readiness.status == "unavailable":
            response.status_code = 503
        return readiness

    return router
