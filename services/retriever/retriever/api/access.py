"""The one gate: who asks is known before a byte of the body is read, and the outcome is audited.

Pure ASGI around `/mcp` and every route under `/v1`, those to come included. A route adds what it
knows to the `Event` of its request; its name is the action in the audit log.

A key or a login that ends while its request is under way ends the request: it is looked at again
when the body is here, before the first byte goes out, and with every piece of a stream.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from typing import cast

import orjson
from opentelemetry.baggage import set_baggage
from opentelemetry.context import attach
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bulkhead.auth import Principal, bearer_key
from bulkhead.errors import (
    ApiError,
    Forbidden,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from bulkhead.event import Event
from bulkhead.logs import request_id
from bulkhead.telemetry import names
from bulkhead.telemetry.spans import trace_id
from retriever.api.resource import challenge
from retriever.limits import Repeated
from retriever.login.tokens import Login, looks_like_token
from retriever.stack import Stack

_PLACES = {
    ("POST", "/v1/search"): "searches",
    ("POST", "/v1/chat/completions"): "chats",
    ("POST", "/v1/responses"): "chats",
    ("POST", "/v1/embeddings"): "embeddings",
}
"""The calls of which only so many are served at once, and what they are called. They take their
place when their body is here: one that never comes holds nothing."""
_PLACES_OF_BODIES = {("POST", "/v1/documents"): "uploads"}
"""The calls whose body is what costs; they take theirs before it."""
_ID = re.compile(r"(key_|approval_)?[0-9a-f]{32}")
"""How the ids of documents, jobs, keys and approvals look; other words in a path are not kept."""


class Access:
    """Authenticates, limits and audits every request under `/v1` and to `/mcp`, whose tools take
    the places of the calls that they stand for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (
            scope["path"].startswith("/v1/") or scope["path"] == "/mcp"
        ):
            await _Audited(self.app, scope, receive, send).run()
        else:
            await self.app(scope, receive, send)


class _KeyEndedError(Exception):
    """The key or the login has ended before anything was sent. No `ApiError`: the app would answer
    it itself."""


class _Audited:
    """One request on its way through the gate."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._request = Request(scope)
        self._receive_message = receive
        self._send_message = send
        self._stack = cast(Stack, self._request.app.state.stack)
        self._started = time.perf_counter()
        self._event = self._request.state.event = Event(request_id.get(), trace_id=trace_id())
        self._silent = self._ended = False
        self._key = ""
        self._login: Login | None = None
        self._held = AsyncExitStack()
        """The request's places, until its last byte is out."""

    async def run(self) -> None:
        """Serve the request, and record how it went whatever happens."""
        event = self._event
        try:
            async with self._held:
                await self._admit()
                try:
                    await self._app(self._request.scope, self._receive, self._send)
                except _KeyEndedError as error:
                    raise self._key_ended() from error
            if not self._ended:
                event.error = event.error or "client_left"
        except ApiError as error:
            event.fail(error)
            if isinstance(error, Unauthenticated):
                error.headers.update(challenge(self._stack.settings, self._request))
            self._silent = self._silent or isinstance(error, Repeated)
            raise
        except ClientDisconnect:
            event.error = "client_left"
            raise
        except Exception:
            event.error = "internal"
            raise
        finally:
            self._record()

    async def _admit(self) -> None:
        """Find out who asks, within their limits; raises the `ApiError` that they are to see."""
        event, request, stack = self._event, self._request, self._stack
        try:
            self._key = _key(request)
            principal = await self._principal()
        except (Unauthenticated, Forbidden, Unavailable):
            event.action = "auth.refused"
            await stack.limits.refusal(request.client.host if request.client else "")
            raise
        event.principal = request.state.principal = principal
        attach(set_baggage(names.TENANT, principal.tenant))  # until `RequestContext` detaches
        with self._refused():
            await stack.limits.request(principal)
        announced = request.headers.get("content-length", "")
        self._bound(int(announced) if announced.isdecimal() else 0)
        await self._take_place(_PLACES_OF_BODIES)
        stack.audit.require(change=False)

    def _bound(self, size: int) -> None:
        """Refuse a body that is too large for any call but the one that brings documents."""
        scope, most = self._request.scope, self._stack.settings.max_request_bytes
        if size > most and (scope["method"], scope["path"]) not in _PLACES_OF_BODIES:
            raise TooLarge(f"the request body may hold at most {most} bytes")

    async def _take_place(self, kinds: Mapping[tuple[str, str], str]) -> None:
        scope, principal = self._request.scope, self._event.principal
        kind = kinds.get((scope["method"], scope["path"]))
        if kind and principal:
            with self._refused():
                await self._held.enter_async_context(self._stack.limits.place(kind, principal))

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """What a refusal for too much is in the log: once a minute, whoever answers it."""
        try:
            yield
        except RateLimited as error:
            self._event.action = "limit.refused"
            self._silent = isinstance(error, Repeated)
            raise

    async def _principal(self) -> Principal:
        """Whom the key, or where people log in the access token, stands for."""
        logins = self._stack.logins
        as_key = "api-key" in self._request.headers
        if logins is None or as_key or not looks_like_token(self._key):
            return await self._stack.keys.admit(self._key)
        self._login = await logins.login(self._key)
        return self._login.principal

    def _key_holds(self) -> bool:
        if self._login is not None:
            return self._login.holds()
        try:
            self._stack.keys.principal(self._key)
        except (Unauthenticated, Unavailable):
            return False
        return True

    def _key_ended(self) -> Unauthenticated:
        return Unauthenticated(f"the {'login' if self._login else 'API key'} has ended")

    async def _receive(self) -> Message:
        message = await self._receive_message()
        self._event.bytes_in += len(message.get("body", b""))
        self._bound(self._event.bytes_in)
        whole = message["type"] == "http.request" and not message.get("more_body")
        if whole and self._request.method not in ("GET", "HEAD"):
            if not self._key_holds():
                raise self._key_ended()
            await self._take_place(_PLACES)
        return message

    async def _send(self, message: Message) -> None:
        event = self._event
        if self._ended:  # by us: what the app still has to say is for nobody
            return
        if message["type"] == "http.response.start":
            if not event.change and not self._key_holds():
                raise _KeyEndedError
            event.status = message["status"]
        elif message.get("more_body") and not self._key_holds():
            message = self._last_words()
            event.error = Unauthenticated.type
        event.bytes_out += len(message.get("body", b""))
        self._ended = message["type"] == "http.response.body" and not message.get("more_body")
        if self._ended and event.change:
            self._record()
            await self._stack.audit.flush()
        await self._send_message(message)

    def _last_words(self) -> Message:
        """The end of a stream whose key has ended. The server then takes the client for gone."""
        body = orjson.dumps(self._key_ended().body(self._event.request_id))
        return {"type": "http.response.body", "body": b"data: " + body + b"\n\n"}

    def _record(self) -> None:
        """Append the line, once. What a caller is refused again and again is one line a minute."""
        if self._silent:
            return
        self._silent = True
        event, scope = self._event, self._request.scope
        event.duration = time.perf_counter() - self._started
        event.error = event.error or getattr(self._request.state, "error_type", None)
        event.action = event.action or getattr(scope.get("route"), "name", "unknown")
        for name, value in scope.get("path_params", {}).items():
            if not _ID.fullmatch(value):
                continue
            if name == "document_id":
                event.documents.append(value)
            else:
                event.target = value
        self._stack.audit.append(event.line(datetime.now(UTC)))


def _key(request: Request) -> str:
    """The API key, as a bearer token or, as clients of Azure's API send it, in `api-key`."""
    named = request.headers.getlist("api-key")
    if not named:
        return bearer_key(request)
    if len(named) > 1 or "authorization" in request.headers:
        raise Unauthenticated("send one API key, once")
    return named[0].strip()
