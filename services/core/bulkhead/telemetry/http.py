"""HTTP as OpenTelemetry's conventions see it: what is served, and the trace's way to neighbours."""

from typing import TYPE_CHECKING, Final

from fastapi.telemetry import TelemetryConfig
from opentelemetry.propagate import inject
from starlette.types import Scope

if TYPE_CHECKING:
    import httpx  # not every service asks others

_NOT_TRACED = ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/static-offline-docs")


def _not_traced(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.startswith(_NOT_TRACED)


SERVED: Final[TelemetryConfig] = {
    "operation_spans": False,  # FastAPI's own work, in three spans
    "logs": False,
    "exclude": _not_traced,
}
"""What FastAPI records of a request by itself: one span and its duration."""


async def _carry(request: "httpx.Request") -> None:
    inject(request.headers)


CARRYING: Final = {"request": [_carry]}
"""`event_hooks` for the `httpx.AsyncClient` of a neighbour: the trace and its baggage go along.

No span is made of the call, as OpenTelemetry's package for httpx makes one: there is ours already.
"""
