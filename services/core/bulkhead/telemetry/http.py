"""HTTP as OpenTelemetry sees it: which requests are traced, and the trace's way to neighbours."""

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.propagate import inject

if TYPE_CHECKING:
    import httpx2  # not every service asks others

DOCUMENTATION: Final = ("/docs", "/openapi.json", "/static-offline-docs")
"""How the paths of the API's description begin."""
_NOT_TRACED = ("/healthz", "/readyz", "/metrics", *DOCUMENTATION)


def is_untraced(scope: MutableMapping[str, Any]) -> bool:
    """Whether a request is left out of traces and counts: those for health and help are."""
    path: str = scope["path"]
    return path.startswith(_NOT_TRACED)


async def _carry(request: "httpx2.Request") -> None:
    inject(request.headers)


CARRYING: Final = {"request": [_carry]}
"""`event_hooks` for the `httpx2.AsyncClient` of a neighbour: the trace and its baggage go along.

No span is made of the call, as OpenTelemetry's package for httpx2 makes one: there is ours already.
"""
