"""`/healthz` says the process lives; `/readyz` says what it can do."""

from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel


class Part(BaseModel):
    """One thing the service leans on."""

    state: Literal["up", "down"]
    detail: str = ""


class Readiness(BaseModel):
    """What the service can do now. `degraded` still serves; `unavailable` answers 503."""

    status: Literal["ready", "degraded", "unavailable"]
    parts: dict[str, Part]


class Alive(BaseModel):
    """The process lives and its event loop turns."""

    status: Literal["alive"] = "alive"


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
