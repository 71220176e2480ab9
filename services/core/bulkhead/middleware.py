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

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bulkhead.errors import ApiError, HeadTooLarge, RequestTimedOut, TooLarge
from bulkhead.logs import request_id
from bulkhead.settings import CommonSettings
from bulkhead.telemetry.http import Served, is_traced

logger = logging.getLogger("bulkhead.request")

CLIENT_LEFT = 499
"""Status in the log for a client that left before its answer began; nginx's number for it."""

# It goes to the logs, and an API key does not: a client that sends one here gets another id.
_REQUEST_ID = re.compile(r"(?!bh_)[A-Za-z0-9._:-]{1,128}")
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
        token = request_id.set(offered if _REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex)
        traced = is_traced(scope["path"])
        served = Served(scope, headers, request_id.get()) if traced else None
        status, failure = 0, None
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id.get()
            await send(message)

        try:
            self._refuse_announced_excess(scope, headers)
            await self.app(scope, self._bounded(receive), send_with_id)
        except ClientDisconnect:
            status = status or CLIENT_LEFT
        except ApiError as error:
            await self._fail(error, status, send_with_id)
        except Exception as error:
            failure = type(error).__name__
            logger.exception("the request failed")
            await self._fail(ApiError("something broke on our side"), status, send_with_id)
        finally:
            logger.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "duration_ms": round((time.perf_counter() - started) * 1000, 2),
                },
            )
            if served is not None:
                served.end(status, failure)
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

    async def _fail(self, error: ApiError, status: int, send: Send) -> None:
        if status:  # the response has begun: all that is left is to end it
            return
        body = json.dumps(error.body(request_id.get())).encode()
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **error.headers,
        }
        raw = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": error.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})
