"""The addresses behind a service's name, which come and go, and which of them takes the next
connection: one that is ready, with the fewest open."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

_LOOK_SECONDS = 1.0
"""Between two looks at the name and at who is ready. A retriever that ends serves new requests for
two seconds more (its `LINGER_SECONDS`)."""
_ANSWER_SECONDS = 3.0


@dataclass(eq=False)
class FarEnd:
    """One address."""

    host: str
    port: int
    open: int = 0
    ready: bool = True
    used: int = 0
    """When it was given a connection last, counted in connections."""

    @contextmanager
    def connection(self) -> Iterator[None]:
        """One that is open meanwhile."""
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


@dataclass
class FarEnds:
    """All addresses of a name."""

    host: str
    port: int
    health: str = ""
    """A path that is answered with 503 by who is to get no connection; empty: nobody is asked."""
    _there: dict[str, FarEnd] = field(default_factory=dict)
    _given: int = 0

    async def choices(self) -> list[FarEnd]:
        """Whom to try, the best first. Raises `OSError` where the name leads nowhere.

        Who is not ready comes last and is tried all the same: if nobody is, its words are the best
        answer there is.
        """
        if not self._there:
            await self.look()
        ends = sorted(self._there.values(), key=lambda end: (not end.ready, end.open, end.used))
        if ends:
            self._given += 1
            ends[0].used = self._given
        return ends

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look again and again, until the block ends."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            with suppress(OSError):  # whom it led to last may still be there
                await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Find the addresses, and who of them is ready. Raises `OSError` for an unknown name."""
        found = await asyncio.get_running_loop().getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM
        )
        hosts = dict.fromkeys(str(one[4][0]) for one in found)
        self._there = {host: self._there.get(host) or FarEnd(host, self.port) for host in hosts}
        if self.health and len(hosts) > 1:
            await asyncio.gather(*(self._ask(end) for end in self._there.values()))
        else:
            for end in self._there.values():
                end.ready = True  # whoever refuses a connection is passed over until the next look

    async def _ask(self, end: FarEnd) -> None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection(end.host, end.port)
                try:
                    request = f"GET {self.health} HTTP/1.1\r\nHost: {self.host}\r\n"
                    writer.write(f"{request}Connection: close\r\n\r\n".encode())
                    status = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError):
            end.ready = False
        else:
            end.ready = bool(status) and status.split()[1:2] != [b"503"]
