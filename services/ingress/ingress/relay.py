"""A TCP relay for HTTP: bytes both ways, and a bound on how many at once.

Connections are spread over the addresses of a name. One that cannot be made is made elsewhere, so
that no request is lost where a replica is gone: nothing of it was sent yet.

A client may close its side and still be answered. The far end closes when it is done, and then so
is the connection: a client that says nothing more would keep its place for ever.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from ingress.far_ends import FarEnds
from ingress.line import Line

_CHUNK = 64 * 1024
_CONNECT_SECONDS = 2.0
"""How long a far end may take to accept, before the next is tried."""
_UNREAD_SECONDS = 60.0
"""How long a client may leave its answer unread; the services behind give up after 30."""
_UNREACHABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nRetry-After: 2\r\nContent-Length: %d\r\n\r\n%b"
)
_BODY = (
    b'{"error":{"type":"unavailable","message":"the service behind this port does not answer",'
    b'"request_id":"-","part":"%b"}}'
)


@dataclass(frozen=True)
class Route:
    """A port to listen on, and the address that it leads to."""

    port: int
    host: str
    target: int
    health: str = ""
    """The path that says by 503 which of several behind the name takes no more."""

    @classmethod
    def parse(cls, text: str) -> "Route":
        """`8080=retriever:8080/readyz`, or without a path. Raises `ValueError` for all else."""
        port, _, address = text.partition("=")
        host, _, rest = address.partition(":")
        target, slash, path = rest.partition("/")
        if not host:
            raise ValueError(f"a route is PORT=HOST:PORT or PORT=HOST:PORT/PATH, not {text!r}")
        return cls(int(port), host, int(target), slash + path)


class Relay:
    """Serves one route. The name is fixed here: no byte from either side can choose another."""

    def __init__(self, route: Route, most: int) -> None:
        """`most` bounds the connections that are open at once.

        For one more the one is closed that is owed no answer, for the longest time: its request's
        head is not whole yet, or it was answered and asks nothing more. Where all are owed one, it
        is the new one, unread.
        """
        self._route = route
        self._most = most
        self.far_ends = FarEnds(route.host, route.target, route.health)
        self._open: set[asyncio.Task[None]] = set()
        self._idle: dict[asyncio.Task[None], None] = {}
        """Those that are owed no answer, the longest first."""

    async def start(self, host: str) -> asyncio.Server:
        """Listen at `host`."""
        return await asyncio.start_server(self._accepted, host, self._route.port)

    async def close(self, seconds: float) -> None:
        """Let what is open end by itself, for so many seconds at most, then cut it."""
        if self._open:
            _, late = await asyncio.wait(self._open, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self._most:
            if not self._idle:
                writer.close()
                return
            oldest = next(iter(self._idle))
            self._ended(oldest)
            oldest.cancel()
        task = asyncio.create_task(self._relay(reader, writer))
        self._open.add(task)
        self._idle[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        self._idle.pop(task, None)

    def _asked(self, task: asyncio.Task[None], line: Line, chunk: bytes) -> None:
        line.asked(chunk)
        if line.owed:
            self._idle.pop(task, None)
        elif line.answered:  # before that it gains nothing by saying a little
            self._last(task)

    def _told(self, task: asyncio.Task[None], line: Line, _: bytes) -> None:
        line.told()
        self._last(task)

    def _last(self, task: asyncio.Task[None]) -> None:
        if task in self._open:
            self._idle.pop(task, None)
            self._idle[task] = None

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        line = Line(task.cancel)
        try:
            async with self._connected() as far_side:
                if far_side is None:
                    await self._refuse(writer)
                    return
                answers, far = far_side
                async with asyncio.TaskGroup() as both:
                    asking = both.create_task(_pump(reader, far, partial(self._asked, task, line)))
                    await _pump(answers, writer, partial(self._told, task, line))
                    asking.cancel()
                async with asyncio.timeout(_UNREAD_SECONDS):
                    writer.close()
                    await writer.wait_closed()
        except* (OSError, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()  # either side left, or reads nothing, or the process ends
        finally:
            line.close()
            writer.close()

    @asynccontextmanager
    async def _connected(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter] | None]:
        """A connection to the best far end that accepts one, none where nobody does."""
        try:
            choices = await self.far_ends.choices()
        except OSError:
            choices = []
        for end in choices:
            with end.connection():
                try:
                    async with asyncio.timeout(_CONNECT_SECONDS):
                        answers, far = await asyncio.open_connection(end.host, end.port)
                except (OSError, TimeoutError):
                    end.ready = False  # until the next look
                    continue
                try:
                    yield answers, far
                finally:
                    far.close()
                return
        yield None

    async def _refuse(self, writer: asyncio.StreamWriter) -> None:
        """HTTP is all that goes through here, so whoever asks is told in its words."""
        body = _BODY % self._route.host.encode()
        writer.write(_UNREACHABLE % (len(body), body))
        with suppress(OSError):
            await writer.drain()


async def _pump(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    heard: Callable[[bytes], object],
) -> None:
    """Copy until the source ends, then tell the sink so; a slow sink slows the source.

    `heard` is told what comes. Raises `TimeoutError` for a sink that takes nothing.
    """
    while chunk := await source.read(_CHUNK):
        heard(chunk)
        sink.write(chunk)
        async with asyncio.timeout(_UNREAD_SECONDS):
            await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
