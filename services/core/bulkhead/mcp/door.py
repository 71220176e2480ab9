"""The HTTP door of an MCP server: who may come in, with what, how often and for how long.

Everything that HTTP can get wrong is decided here, before the SDK sees the request. A refusal is
the project's error body and a JSON-RPC error at once, so that any MCP client shows its message.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

import mcp_types
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bulkhead.auth import Principal
from bulkhead.disconnect import unless_disconnected
from bulkhead.errors import (
    ApiError,
    Forbidden,
    Misdirected,
    UnsupportedMediaType,
)
from bulkhead.logs import request_id
from bulkhead.mcp.message import read_message
from bulkhead.mcp.server import PRINCIPAL

_GRACE_SECONDS = 5
"""What a request may take beyond its tool: reading a reply is the client's to do in time."""


class MethodNotAllowed(ApiError):
    """405: `/mcp` takes POST; this server keeps no sessions and opens no streams."""

    status, type = 405, "method_not_allowed"

    def __init__(self) -> None:
        super().__init__("send a POST; this server has no sessions and no streams")
        self.headers = {"Allow": "POST"}


class Door:
    """Wraps the SDK's app. A request that passes carries its principal in the scope."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        principal: Callable[[Request], Principal],
        admit: Callable[[Principal], AbstractContextManager[None]],
        hosts: frozenset[str] | None,
        origins: frozenset[str],
        call_seconds: float,
    ) -> None:
        """`principal` says who asks and `admit` bounds how often; both raise `ApiError`.

        `hosts` and `origins` are the values of these headers that are served; with None as `hosts`
        somebody before this door has looked. A tool may take `call_seconds`.
        """
        self._app = app
        self._principal = principal
        self._admit = admit
        self._hosts = hosts
        self._origins = origins
        self._request_seconds = call_seconds + _GRACE_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except ApiError as error:
            await refuse(error, scope, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        self._check_names(headers)
        if scope["method"] != "POST":
            raise MethodNotAllowed
        principal = self._principal(Request(scope))
        _check_content_type(headers)
        with self._admit(principal):
            body = await self._body(receive)
            read_message(body)
            inner = {**scope, PRINCIPAL: principal}
            work = self._app(inner, _replay(body), send)
            await self._in_time(Request(scope, receive), work)

    def _check_names(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if self._hosts is not None and (len(hosts) != 1 or hosts[0] not in self._hosts):
            raise Misdirected("this server does not answer to that Host")
        if not self._origins.issuperset(headers.getlist("origin")):
            raise Forbidden("web pages of that Origin may not call this server")

    async def _body(self, receive: Receive) -> bytes:
        """The whole body; the middleware around every service bounds its size and its time."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if not message.get("more_body", False):
                return bytes(body)

    async def _in_time(self, request: Request, work: Awaitable[None]) -> None:
        """Runs `work`; a client that leaves, or never reads its reply, ends it."""
        try:
            async with asyncio.timeout(self._request_seconds):
                await unless_disconnected(request, work)
        except TimeoutError as error:
            raise ClientDisconnect from error


def _check_content_type(headers: Headers) -> None:
    kinds = headers.getlist("content-type")
    kind, _, parameter = kinds[0].lower().partition(";") if len(kinds) == 1 else ("", "", "")
    if kind.strip() != "application/json" or parameter.strip() not in ("", "charset=utf-8"):
        raise UnsupportedMediaType("send the body as 'Content-Type: application/json'")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("send the body without a Content-Encoding")


def _replay(body: bytes) -> Callable[[], Awaitable[Message]]:
    """A `receive` that gives the body, and then nothing more."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # the client's leaving is watched outside
        raise AssertionError("unreachable")

    return receive


async def refuse(error: ApiError, scope: Scope, send: Send) -> None:
    """Answer with `error` as the project's error body that is a JSON-RPC error, too."""
    Request(scope).state.error_type = error.type
    detail = error.body(request_id.get())["error"]
    data = {"type": detail["type"], "status": error.status, "request_id": detail["request_id"]}
    if "Retry-After" in error.headers:
        data["retry_after"] = int(error.headers["Retry-After"])
    code = mcp_types.PARSE_ERROR if error.status == 400 else mcp_types.INVALID_REQUEST
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "data": data, **detail}}
    headers = {"content-type": "application/json", **error.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
