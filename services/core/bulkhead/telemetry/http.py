"""HTTP as OpenTelemetry's conventions see it: what is served, and the trace's way to neighbours."""

import time
from typing import TYPE_CHECKING, Final

from opentelemetry.baggage import set_baggage
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagate import extract, inject
from opentelemetry.trace import SpanKind, Status, StatusCode, get_tracer, set_span_in_context
from starlette.datastructures import Headers
from starlette.types import Scope

from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import SERVED_DURATION

if TYPE_CHECKING:
    import httpx  # not every service asks others

_tracer = get_tracer("bulkhead.http")

_NOT_TRACED = ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/static-offline-docs")
_METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}


class Served:
    """A request that is served: its span, which is current until `end`, and its duration.

    FastAPI's own tracing does the same for three times the time (docs/performance.md), takes a
    client that leaves for an error, and keeps the query, which may hold what a user wrote.
    """

    def __init__(self, scope: Scope, headers: Headers, request_id: str) -> None:
        """`request_id` goes along to the neighbours, as baggage."""
        self._scope = scope
        self._started = time.perf_counter()
        method: str = scope["method"]
        self._method = method if method in _METHODS else "_OTHER"
        self._labels: dict[str, str | int] = {
            names.HTTP_METHOD: self._method,
            names.HTTP_VERSION: scope["http_version"],
            names.URL_SCHEME: scope["scheme"],
        }
        known = "traceparent" in headers or "baggage" in headers
        parent = extract(headers) if known else Context()
        self._span = _tracer.start_span(
            method if method in _METHODS else "HTTP",
            parent,
            SpanKind.SERVER,
            {**self._labels, names.URL_PATH: scope["path"], names.REQUEST_ID: request_id},
            record_exception=False,
        )
        context = set_baggage(names.REQUEST_ID, request_id, set_span_in_context(self._span, parent))
        self._token = attach(context)

    def end(self, status: int, failure: str | None = None) -> None:
        """Note how it was answered; `failure` is the kind of an error of ours, if there was one."""
        told: dict[str, str | int] = {names.HTTP_STATUS: status} if status else {}
        if status >= 500 or failure is not None:
            told[names.ERROR_TYPE] = failure or str(status)
            self._span.set_status(Status(StatusCode.ERROR))
        # By now FastAPI has put the route there: a pattern, of which there are few, and no path.
        if route := getattr(self._scope.get("route"), "path_format", None):
            told[names.HTTP_ROUTE] = route
            self._span.update_name(f"{self._method} {route}")
        self._span.set_attributes(told)
        SERVED_DURATION.record(time.perf_counter() - self._started, {**self._labels, **told})
        self._span.end()
        detach(self._token)


def is_traced(path: str) -> bool:
    """Whether requests for this path are traced and counted: not those for health and help."""
    return not path.startswith(_NOT_TRACED)


async def _carry(request: "httpx.Request") -> None:
    inject(request.headers)


CARRYING: Final = {"request": [_carry]}
"""`event_hooks` for the `httpx.AsyncClient` of a neighbour: the trace and its baggage go along.

No span is made of the call, as OpenTelemetry's package for httpx makes one: there is ours already.
"""
