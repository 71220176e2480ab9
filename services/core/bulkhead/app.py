"""The app factory: a FastAPI app with the project's errors, request ids, limits and health."""

import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

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
from bulkhead.settings import ServiceSettings

logger = logging.getLogger(__name__)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_BY_STATUS: dict[int, type[ApiError]] = {
    error.status: error for error in (MalformedRequest, NotFound, TooLarge, UnsupportedMediaType)
}


def create_app(
    *,
    title: str,
    description: str,
    version: str,
    settings: ServiceSettings,
    routers: Sequence[APIRouter],
    ready: Callable[[], Awaitable[Readiness]],
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """A service's app: its routers, behind what all services have in common.

    `app.state.fail(reason)` ends the process when the service finds that it must not go on.
    """
    app = FastAPI(
        title=title,
        description=description,
        version=version,
        lifespan=lifespan,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
    )
    app.state.fail = logger.critical
    app.add_middleware(RequestContext, max_body_bytes=settings.max_body_bytes)
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.include_router(health_router(ready))
    for router in routers:
        app.include_router(router)
    return app


def serve(app: FastAPI, settings: ServiceSettings) -> None:
    """Run `app` until SIGTERM or SIGINT; streams get five seconds to end.

    Exits with 1 and one line when the app called `app.state.fail`, with 3 when it did not start.
    """
    configure_logging(settings.log_level)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )
    reasons: list[str] = []

    def fail(reason: str) -> None:
        reasons.append(reason)
        server.should_exit = True

    app.state.fail = fail
    server.run()
    if reasons:
        sys.exit(f"{app.title}: {reasons[0]}")
    if not server.started:
        sys.exit(3)


def _respond(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body(request_id.get()), error.status, headers=error.headers)


async def _on_api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return _respond(error)


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems: Sequence[dict[str, Any]] = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return _respond(MalformedRequest("the request body is not valid JSON"))
    return _respond(InvalidValue("; ".join(_problem(problem) for problem in problems[:5])))


def _problem(problem: dict[str, Any]) -> str:
    """One finding of pydantic's as words; the offending input itself is not echoed."""
    where = ".".join(str(step) for step in problem["loc"] if step != "body") or "body"
    return f"{where}: {problem['msg']}"


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ApiError):  # raised while FastAPI was reading the body
        return _respond(error.__cause__)
    kind = _BY_STATUS.get(error.status_code, ApiError)
    answer = kind(str(error.detail))
    answer.status = error.status_code
    if kind is ApiError:
        answer.type = "method_not_allowed" if error.status_code == 405 else "http_error"
    answer.headers = dict(error.headers or {})
    return _respond(answer)
