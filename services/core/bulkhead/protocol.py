"""uvicorn's HTTP protocol with a clock: a client that is slow holds a connection only briefly.

uvicorn itself waits for ever for the head of a first request, keeps a head of any length, and never
gives up on a client that does not read. The body's limits are the middleware's.
"""

import asyncio
import json
import uuid
from http import HTTPStatus
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bulkhead.errors import ApiError, HeadTooLarge, MalformedRequest, RequestTimedOut
from bulkhead.settings import CommonSettings


def bounded_protocol(settings: CommonSettings) -> type[asyncio.Protocol]:
    """The protocol class with these settings' limits."""

    class Bounded(BoundedProtocol):
        limits = settings
        waiting: ClassVar[dict[BoundedProtocol, None]] = {}

    return Bounded


class BoundedProtocol(HttpToolsProtocol):
    """Cuts a connection whose head is too slow or too long, or whose replies are not read.

    Where uvicorn bounds the connections (`limit_concurrency`), one more takes the place of the one
    that has waited longest for the head of a request: whoever asks nothing shuts nobody out.
    """

    limits: CommonSettings
    waiting: ClassVar[dict["BoundedProtocol", None]]
    """The server's connections that have no request, the longest first."""

    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        """A head must follow."""
        super().connection_made(transport)
        most = self.config.limit_concurrency
        if most is not None and len(self.connections) >= most and self.waiting:
            next(iter(self.waiting)).give_way()
        self._await_head()

    def give_way(self) -> None:
        """Close, for another that may have something to ask."""
        self._head_came()
        self.connections.discard(self)  # at once: the other counts from now on
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        self._head_came()
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; an unfinished head may not grow past its limit."""
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.max_head_bytes:
                self._refuse(HeadTooLarge("the headers are too long"))

    def on_message_begin(self) -> None:
        """The first bytes of a head came; between requests uvicorn's keep-alive timer runs."""
        super().on_message_begin()
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._head_came()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP gets the project's error shape."""
        self._refuse(MalformedRequest("this is not an HTTP/1.1 request"))

    def pause_writing(self) -> None:
        """The client leaves its reply unread: it has some time."""
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._stop_write_timer()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """A connection that is to close does so, also when the last bytes are not read."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._start_write_timer()
        elif self.timeout_keep_alive_task is not None:
            self.waiting[self] = None

    def timeout_keep_alive_handler(self) -> None:
        """Close; what is still unread then goes with the connection after the same time."""
        super().timeout_keep_alive_handler()
        self._start_write_timer()

    def _await_head(self) -> None:
        self.waiting.pop(self, None)
        self.waiting[self] = None
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.limits.head_timeout, self._head_is_late)

    def _head_came(self) -> None:
        self.waiting.pop(self, None)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._refuse(RequestTimedOut("the headers came too slowly"))

    def _start_write_timer(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(
                self.limits.write_timeout, self.transport.abort
            )

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _refuse(self, error: ApiError) -> None:
        """Answer without an app, and close; the rest of what comes is not read."""
        self._head_came()
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()  # words in between would corrupt the reply on its way
            return
        body = json.dumps(error.body(uuid.uuid4().hex)).encode()
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
        self._start_write_timer()
