"""The app factory: a FastAPI app with the project's errors, request ids, limits and health."""

import asyncio
import gc
import logging
import math
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from opentelemetry.propagate import set_global_textmap
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from bulkhead.documentation import DocumentationPolicy
from bulkhead.drain import GOING, Drain, Draining
from bulkhead.errors import (
    ApiError,
    ErrorBody,
    InvalidValue,
    MalformedRequest,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from bulkhead.health import Readiness, health_router
from bulkhead.logs import configure_logging, request_id
from bulkhead.middleware import RequestContext
from bulkhead.open_files import raise_limit
from bulkhead.protocol import bounded_protocol
from bulkhead.proxies import spare
from bulkhead.settings import CommonSettings, ServiceSettings, without_effect
from bulkhead.telemetry.http import is_untraced
from bulkhead.telemetry.propagation import OwnWords
from bulkhead.telemetry.setup import TelemetrySettings, configure

logger = logging.getLogger(__name__)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_BY_STATUS: dict[int, type[ApiError]] = {
    error.status: error for error in (MalformedRequest, NotFound, TooLarge, UnsupportedMediaType)
}


def create_app(
    *,
    name: str,
    title: str,
    description: str,
    version: str,
    settings: CommonSettings,
    routers: Sequence[APIRouter],
    ready: Callable[[], Awaitable[Readiness]],
    lifespan: Lifespan | None = None,
    documented: bool = True,
    middleware: Sequence[Middleware] = (),
) -> FastAPI:
    """A service's app: its routers, behind what all services have in common and `middleware`.

    `name` is what telemetry calls it, as "retriever".
    Without `documented` it has no page at `/docs` and no `/openapi.json`.
    `app.state.fail(reason)` ends the process when the service finds that it must not go on.
    """
    set_global_textmap(OwnWords())
    # /docs with its scripts from the package: no page needs a CDN.
    make: Callable[..., FastAPI] = FastAPIOffline if documented else FastAPI
    app = make(
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name the host that the caller named
        title=title,
        description=description,
        version=version,
        lifespan=lifespan,
        openapi_url="/openapi.json" if documented else None,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
        # A request is one span. Failures are logged by `RequestContext`, without a user's words.
        telemetry={"logs": False, "operation_spans": False, "exclude": is_untraced},
    )
    app.state.name = name
    app.state.fail = logger.critical
    app.user_middleware = list(middleware)
    if documented:
        app.add_middleware(DocumentationPolicy)
    drain = app.state.drain = Drain()
    app.add_middleware(Draining, drain=drain)
    app.add_middleware(RequestContext, settings=settings)
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)

    async def ready_or_going() -> Readiness:
        return GOING if drain.begun else await ready()

    app.include_router(health_router(ready_or_going))
    for router in routers:
        app.include_router(router)
    return app


def serve(
    app: FastAPI,
    settings: CommonSettings,
    *,
    sockets: list[socket.socket] | None = None,
    **options: Any,
) -> None:
    """Run `app` until SIGTERM or SIGINT, with its telemetry; see `drain` for how it ends.

    It listens on `sockets` where given, and else on the host and port of its `ServiceSettings`.
    `options` go to uvicorn.
    Loopback is spared from the proxies of the environment.
    Exits with 1 and one line when the app called `app.state.fail`, with 3 when it did not start.
    """
    spare()
    configure_logging(settings.log_level)
    for told in without_effect(settings):
        logger.warning("a variable of the environment has no effect", extra={"reason": told})
    # Half for connections: whoever makes more of them leaves files for the rest, and one that asks
    # nothing gives way to one that does.
    options = {"limit_concurrency": raise_limit() // 2} | options
    configure(app, app.state.name, TelemetrySettings())
    server = _Server(server_config(app, settings, **options), app.state.drain, settings)
    reasons: list[str] = []

    def fail(reason: str) -> None:
        reasons.append(reason)
        server.go()

    app.state.fail = fail
    server.run(sockets)
    if reasons:
        sys.exit(f"{app.title}: {reasons[0]}")
    if not server.started:
        sys.exit(3)


class _Server(uvicorn.Server):
    """Goes in order, and keeps what is there when it has started from all garbage collections: 0.2
    s for each full."""

    def __init__(self, config: uvicorn.Config, drain: Drain, settings: CommonSettings) -> None:
        super().__init__(config)
        self._drain, self._settings = drain, settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    def go(self) -> None:
        """End, once what is under way has ended or its time is over."""
        self._drain.begin(self._settings.drain_seconds)
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.started and not self._drain.begun:
            self._loop.call_soon_threadsafe(self._linger, sig, frame)
        else:  # it has not begun, or whoever sends it twice has no time
            super().handle_exit(sig, frame)

    def _linger(self, sig: int, frame: FrameType | None) -> None:
        self._drain.begin(self._settings.drain_seconds)
        self._loop.call_later(self._settings.linger_seconds, super().handle_exit, sig, frame)


def server_config(app: FastAPI, settings: CommonSettings, **options: Any) -> uvicorn.Config:
    """How uvicorn is to serve `app`; `options` of uvicorn's go before these."""
    at: dict[str, Any] = {}
    if isinstance(settings, ServiceSettings):
        at = {"host": settings.host, "port": settings.port}
    return uvicorn.Config(
        app,
        **{
            **at,
            "http": bounded_protocol(settings),
            "log_config": None,
            "access_log": False,
            "server_header": False,
            # Who calls is limited by address, so an address must not be what the caller says.
            "proxy_headers": False,
            # What `drain` has ended needs a moment to be gone.
            "timeout_graceful_shutdown": math.ceil(settings.drain_seconds) + 5,
            **options,
        },
    )


def unix_socket(path: Path) -> socket.socket:
    """A socket bound to `path` that its owner and group may use; one left behind is replaced.

    Raises `OSError` where `path` is another kind of file, or too long for a socket.
    """
    if path.is_socket():
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o117)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    return listener


def _respond(request: Request, error: ApiError) -> JSONResponse:
    request.state.error_type = error.type
    return JSONResponse(error.body(request_id.get()), error.status, headers=error.headers)


async def _on_api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return _respond(request, error)


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems: Sequence[dict[str, Any]] = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return _respond(request, MalformedRequest("the request body is not valid JSON"))
    return _respond(request, InvalidValue("; ".join(_problem(problem) for problem in problems[:5])))


def _problem(problem: dict[str, Any]) -> str:
    """One finding of pydantic's as words; the offending input itself is not echoed."""
    where = ".".join(str(step)[:64] for step in problem["loc"] if step != "body") or "body"
    return f"{where}: {problem['msg']}"


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ApiError):  # raised while FastAPI was reading the body
        return _respond(request, error.__cause__)
    kind = _BY_STATUS.get(error.status_code, ApiError)
    answer = kind(str(error.detail))
    answer.status = error.status_code
    if kind is ApiError:
        answer.type = "method_not_allowed" if error.status_code == 405 else "http_error"
    answer.headers = dict(error.headers or {})
    return _respond(request, answer)
