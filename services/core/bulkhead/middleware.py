"""What happens to every request: it gets an id, a size limit, a log line, and never a stack trace.

Pure ASGI: a middleware built on `BaseHTTPMiddleware` would put a queue between a stream and its
client, and a client that leaves would no longer end the work.
"""

import json
import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bulkhead.errors import ApiError, TooLarge
from bulkhead.logs import request_id

logger = logging.getLogger("bulkhead.request")

CLIENT_LEFT = 499
"""Status in the log for a client that left before its answer began; nginx's number for it."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestContext:
    """Adds `X-Request-ID` in and out, bounds the body, logs the outcome, hides what broke."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        offered = headers.get("x-request-id", "")
        token = request_id.set(offered if _REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex)
        status = 0
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id.get()
            await send(message)

        try:
            self._refuse_announced_excess(headers)
            await self.app(scope, self._bounded(receive), send_with_id)
        except ClientDisconnect:
            status = status or CLIENT_LEFT
        except ApiError as error:
            await self._fail(error, status, send_with_id)
        except Exception:
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
            request_id.reset(token)

    def _refuse_announced_excess(self, headers: Headers) -> None:
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self.max_body_bytes:
            raise self._too_large()

    def _bounded(self, receive: Receive) -> Receive:
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
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
        headers = {"content-type": "application/json", **error.headers}
        raw = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": error.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})
