"""What happens to every request: an id, limits, a span, a log line, never a stack trace.

Pure ASGI: a middleware built on `BaseHTTPMiddleware` would put a queue between a stream and its
client, and a client that leaves would no longer end the work.
"""

import asyncio
import json
import logging
import re
import time
import uuid

from opentelemetry.baggage import set_baggage
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span, get_current_span
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bulkhead.errors import ApiError, HeadTooLarge, RequestTimedOut, TooLarge
from bulkhead.leaks import SecretScanner
from bulkhead.logs import request_id
from bulkhead.settings import CommonSettings
from bulkhead.telemetry import names

logger = logging.getLogger("bulkhead.request")

CLIENT_LEFT = 499
"""Status in the log for a client that left before its answer began; nginx's number for it."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# A word of one of our keys is enough: an id is short, and may hold only part of one.
_KEY = re.compile(r"bh_|(?<![A-Za-z0-9])(?:sk-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-)", re.I)
_SECRETS = SecretScanner()
_SLOWEST_BODY = 16 * 2**10
"""Bytes of a body that buy one second more for the rest of it."""


class RequestContext:
    """Adds `X-Request-ID`, bounds head and body, traces and logs the outcome, hides what broke."""

    def __init__(self, app: ASGIApp, settings: CommonSettings) -> None:
        self.app = app
        self.max_head_bytes = settings.max_head_bytes
        self.max_body_bytes = settings.max_body_bytes
        self.body_timeout = settings.body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        offered = headers.get("x-request-id", "")
        token = request_id.set(offered if _is_id(offered) else uuid.uuid4().hex)
        context = attach(set_baggage(names.REQUEST_ID, request_id.get()))  # for the neighbours
        _describe(get_current_span(), scope)
        exchange = _Exchange(self._bounded(receive), send)
        started = time.perf_counter()
        try:
            self._refuse_announced_excess(scope, headers)
            await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            pass
        except ApiError as error:
            await exchange.fail(error)
        except Exception:
            logger.exception("the request failed")
            await exchange.fail(ApiError("something broke on our side"))
        finally:
            await exchange.end()
            logger.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": _SECRETS.redact(scope["path"]),
                    "status": exchange.status,
                    "duration_ms": round((time.perf_counter() - started) * 1000, 2),
                },
            )
            detach(context)
            request_id.reset(token)

    def _refuse_announced_excess(self, scope: Scope, headers: Headers) -> None:
        line = len(scope["raw_path"] or b"") + len(scope["query_string"])
        if line + sum(len(name) + len(value) for name, value in headers.raw) > self.max_head_bytes:
            raise HeadTooLarge(f"the headers may hold at most {self.max_head_bytes} bytes")
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self.max_body_bytes:
            raise self._too_large()

    def _bounded(self, receive: Receive) -> Receive:
        """`receive` within the limits of size and time; only waiting for the body counts."""
        seen, waited, more = 0, 0.0, True

        async def bounded() -> Message:
            nonlocal seen, waited, more
            if not more:  # the body is here: what is awaited now is that the client leaves
                return await receive()
            began = time.monotonic()
            try:
                async with asyncio.timeout(self.body_timeout + seen / _SLOWEST_BODY - waited):
                    message = await receive()
            except TimeoutError as error:
                raise RequestTimedOut("the request body came too slowly") from error
            waited += time.monotonic() - began
            more = message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > self.max_body_bytes:
                raise self._too_large()
            return message

        return bounded

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the request body may hold at most {self.max_body_bytes} bytes")


class _Exchange:
    """A request and its response on their way through: what has begun, what has ended."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._left = self._ended = False
        self.status = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._left = self._left or message["type"] == "http.disconnect"
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-ID"] = request_id.get()
        else:
            self._ended = not message.get("more_body", False)
        await self._send(message)

    async def fail(self, error: ApiError) -> None:
        """Answer with an error, if the response has not begun."""
        if self.status:
            return
        body = json.dumps(error.body(request_id.get())).encode()
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **error.headers,
        }
        raw = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
        await self.send({"type": "http.response.start", "status": error.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})

    async def end(self) -> None:
        """End a response that its client does not wait for, so that nobody takes it for broken.

        The server drops what is sent to a client that has left; FastAPI's telemetry sees the end.
        """
        if not self._left or self._ended:
            return
        if not self.status:
            await self.send({"type": "http.response.start", "status": CLIENT_LEFT, "headers": []})
        await self.send({"type": "http.response.body", "body": b""})


def _is_id(offered: str) -> bool:
    """Whether a caller's request id may go to the logs: it looks like one and holds no key."""
    return bool(_REQUEST_ID.fullmatch(offered)) and not (
        _KEY.search(offered) or _SECRETS.find(offered)
    )


def _describe(span: Span, scope: Scope) -> None:
    """Add to the request's span which request it is, and take out what a user may have written."""
    span.set_attribute(names.REQUEST_ID, request_id.get())
    if scope["query_string"]:
        span.set_attribute(names.URL_QUERY, "REDACTED")
    if isinstance(span, ReadableSpan):  # it is recorded: FastAPI put path and host there
        for name, value in dict(span.attributes or {}).items():
            if isinstance(value, str) and _SECRETS.find(value):
                span.set_attribute(name, _SECRETS.redact(value))
