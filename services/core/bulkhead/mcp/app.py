"""The app of a tool server: health calls, and `/mcp` behind its door."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeVar

from fastapi import FastAPI
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from pydantic import ValidationError
from starlette.routing import Route

from bulkhead.app import create_app, serve, unix_socket
from bulkhead.auth import bearer_key
from bulkhead.health import Readiness
from bulkhead.mcp.door import Door
from bulkhead.mcp.limits import CallerLimits
from bulkhead.mcp.server import create_server
from bulkhead.mcp.settings import ToolServerSettings
from bulkhead.mcp.tools import AnyTool
from bulkhead.tool_tokens import TokenVerifier, read_signing_key


def create_tool_app(
    *,
    name: str,
    title: str,
    version: str,
    instructions: str,
    settings: ToolServerSettings,
    tools: Sequence[AnyTool],
    ready: Callable[[], Awaitable[Readiness]],
    resources: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> FastAPI:
    """A tool server's app. `name` is also the audience of its tokens, like "mcp-filesystem".

    `resources` is open while the server runs: connections and what else the tools lean on.
    Raises `ValueError` when the signing key cannot be used.
    """
    server = create_server(
        name=name,
        title=title,
        version=version,
        instructions=instructions,
        tools=tools,
        call_seconds=settings.call_seconds,
        max_result_bytes=settings.max_result_bytes,
    )
    return create_mcp_app(
        server=server,
        name=name,
        title=title,
        version=version,
        instructions=instructions,
        settings=settings,
        ready=ready,
        resources=resources,
    )


def create_mcp_app(
    *,
    server: Server[Any],
    name: str,
    title: str,
    version: str,
    instructions: str,
    settings: ToolServerSettings,
    ready: Callable[[], Awaitable[Readiness]],
    resources: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> FastAPI:
    """The app of `create_tool_app` around any server of the SDK's."""
    manager = StreamableHTTPSessionManager(
        server,
        json_response=True,
        stateless=True,
        max_request_body_size=settings.max_body_bytes,
    )
    verifier = TokenVerifier(read_signing_key(settings.signing_key_file), audience=name)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with resources(), manager.run():
            yield

    app = create_app(
        name=name,
        title=title,
        description=instructions,
        version=version,
        settings=settings,
        routers=[],
        ready=ready,
        lifespan=lifespan,
        documented=False,
    )
    limits = CallerLimits(
        per_second=settings.requests_per_second,
        burst=settings.request_burst,
        concurrent=settings.concurrent_requests,
    )
    door = Door(
        StreamableHTTPASGIApp(manager),
        principal=lambda request: verifier.verify(bearer_key(request)),
        admit=limits.admit,
        hosts=settings.hosts(),
        origins=settings.origins(),
        call_seconds=settings.call_seconds,
    )
    app.router.routes.append(Route("/mcp", endpoint=door))
    return app


S = TypeVar("S", bound=ToolServerSettings)


def main(name: str, settings_type: type[S], create: Callable[[S], FastAPI]) -> None:
    """Serve what `create` makes of the environment's settings; a mistake in them ends in a line.

    `name` is the server's, as it stands before that line.
    """
    try:
        settings = settings_type()
        app = create(settings)
    except ValidationError as error:
        problem = error.errors()[0]
        prefix = str(settings_type.model_config.get("env_prefix", ""))
        sys.exit(f"{name}: {prefix}{str(problem['loc'][0]).upper()}: {problem['msg']}")
    except OSError as error:
        sys.exit(f"{name}: {error.strerror}: {error.filename}")
    except ValueError as error:
        sys.exit(f"{name}: {error}")
    serve_tools(app, settings)


def serve_tools(app: FastAPI, settings: ToolServerSettings) -> None:
    """Run `app` until SIGTERM or SIGINT, on its port or its Unix socket (mode 0660)."""
    serve(
        app,
        settings,
        sockets=None if settings.uds is None else [unix_socket(settings.uds)],
        ws="none",
        limit_concurrency=settings.max_connections,
    )
