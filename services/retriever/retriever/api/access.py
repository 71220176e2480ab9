"""The one gate: who asks is known before a byte of the body is read, and the outcome is audited.

Pure ASGI around every route under `/v1`, those to come included. A route adds what it knows to the
`Event` of its request; its name is the action in the audit log.
"""

import re
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import cast

from opentelemetry.baggage import set_baggage
from opentelemetry.context import attach
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bulkhead.auth import bearer_key
from bulkhead.errors import ApiError, RateLimited, Unauthenticated
from bulkhead.event import Event
from bulkhead.logs import request_id
from bulkhead.telemetry import names
from bulkhead.telemetry.spans import trace_id
from retriever.limits import Repeated
from retriever.stack import Stack

_PLACES = {"/v1/search": "searches", "/v1/chat/completions": "chats"}
"""The calls of which only so many are served at once, and what they are called."""
_ID = re.compile(r"(key_|approval_)?[0-9a-f]{32}")
"""How the ids of documents, jobs, keys and approvals look; other words in a path are not kept."""


class Access:
    """Authenticates, limits and audits every request under `/v1`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            await _Audited(self.app, scope, receive, send).run()
        else:
            await self.app(scope, receive, send)


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

    async def run(self) -> None:
        """Serve the request, and record how it went whatever happens."""
        event = self._event
        try:
            async with AsyncExitStack() as held:
                await self._admit(held)
                await self._app(self._request.scope, self._receive, self._send)
            if not self._ended:
                event.error = event.error or "client_left"
        except ApiError as error:
            event.fail(error)
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

    async def _admit(self, held: AsyncExitStack) -> None:
        """Find out who asks, within their limits; raises the `ApiError` that they are to see.

        The request's place, where its call has places, is `held` until its last byte is out.
        """
        event, request, stack = self._event, self._request, self._stack
        try:
            principal = stack.keys.principal(_key(request))
        except Unauthenticated:
            event.action = "auth.refused"
            await stack.limits.refusal(request.client.host if request.client else "")
            raise
        event.principal = request.state.principal = principal
        attach(set_baggage(names.TENANT, principal.tenant))  # until `RequestContext` detaches
        try:
            await stack.limits.request(principal)
            if kind := _PLACES.get(request.scope["path"]):
                await held.enter_async_context(stack.limits.place(kind, principal))
        except RateLimited:
            event.action = "limit.refused"
            raise
        stack.audit.require(change=False)

    async def _receive(self) -> Message:
        message = await self._receive_message()
        self._event.bytes_in += len(message.get("body", b""))
        return message

    async def _send(self, message: Message) -> None:
        event = self._event
        if message["type"] == "http.response.start":
            event.status = message["status"]
        event.bytes_out += len(message.get("body", b""))
        self._ended = message["type"] == "http.response.body" and not message.get("more_body")
        if self._ended and event.change:
            self._record()
            await self._stack.audit.flush()
        await self._send_message(message)

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
