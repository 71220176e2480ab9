"""How a process goes: it says so at once, what is under way ends, and what does not is ended.

From the signal on `/readyz` is 503 and each reply closes its connection, so that whoever balances
sends the next request elsewhere. For a while, `linger_seconds`, new ones are served all the same:
those that were on their way. A stream that goes on after `drain_seconds` ends with an error event.
"""

import asyncio
import json

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bulkhead.errors import Unavailable
from bulkhead.health import Part, Readiness
from bulkhead.logs import request_id

GOING = Readiness(
    status="unavailable", parts={"process": Part(state="down", detail="it is ending (SIGTERM)")}
)


class Drain:
    """Whether the process is going, and the requests that are under way."""

    def __init__(self) -> None:
        self.begun = self.over = False
        self._requests: set[asyncio.Task[object]] = set()

    def begin(self, seconds: float) -> None:
        """Say that it is going, and end in so many seconds what is then still under way."""
        if not self.begun:
            self.begun = True
            asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        self.over = True
        for request in self._requests:
            request.cancel()

    def enter(self, request: asyncio.Task[object]) -> None:
        """A request begins, in its own task."""
        self._requests.add(request)

    def leave(self, request: asyncio.Task[object]) -> None:
        """It came to its end."""
        self._requests.discard(request)


class Draining:
    """Counts the requests, and ends those that outlast the process."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self.app = app
        self.drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self.app(scope, receive, send)
            return
        reply = _Reply(send, self.drain)
        self.drain.enter(task)
        try:
            await self.app(scope, receive, reply.send)
        except asyncio.CancelledError:
            if not self.drain.over:
                raise
            task.uncancel()
            scope.setdefault("state", {})["error_type"] = Unavailable.type
            await reply.end()
        finally:
            self.drain.leave(task)


class _Reply:
    def __init__(self, send: Send, drain: Drain) -> None:
        self._send, self._drain = send, drain
        self._begun = self._streams = self._ended = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            self._begun = True
            self._streams = headers.get("content-type", "").startswith("text/event-stream")
            if self._drain.begun:
                headers["Connection"] = "close"
        elif message["type"] == "http.response.body":
            self._ended = not message.get("more_body", False)
        await self._send(message)

    async def end(self) -> None:
        """End in words what the process has no more time for."""
        error = Unavailable("process", "the server is ending: ask again, another one answers")
        error.headers = {"Retry-After": "1", "Connection": "close"}
        if not self._begun:
            raise error
        if self._streams and not self._ended:
            body = b"data: " + json.dumps(error.body(request_id.get())).encode() + b"\n\n"
            await self._send({"type": "http.response.body", "body": body})
        elif not self._ended:  # half a document is none: the connection breaks off
            raise asyncio.CancelledError
