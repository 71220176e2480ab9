"""Several addresses of one Qdrant, behind one client's methods: a node that is down costs no call.

Behind an address may stand one node, or a name with an address of each: there gRPC takes turns. A
call whose node goes is made again at another. That is safe with all that the retriever asks for:
points are written under their ids, and deleted by a filter.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from grpc import StatusCode
from grpc.aio import AioRpcError
from qdrant_client import AsyncQdrantClient

RENEW_SECONDS = 60.0
"""How long the addresses behind a name hold. gRPC looks for others only when a connection breaks:
a node that came back, or is new, would wait for that."""

GONE = (StatusCode.UNAVAILABLE, StatusCode.CANCELLED)
"""How a call ends whose node goes: with its connection, or given up by a server that stops."""


class Node:
    """One address, and the client of it."""

    def __init__(
        self, make: Callable[[], AsyncQdrantClient], *, named: bool, longest: float
    ) -> None:
        """`named`: a name, which may lead elsewhere tomorrow; `longest` seconds takes a call."""
        self._make, self._longest = make, longest
        self.client = make()
        self._until = time.monotonic() + RENEW_SECONDS if named else float("inf")
        self._renewal: asyncio.Task[None] | None = None

    def renew(self) -> None:
        """Look the name up again where it is time, beside the calls."""
        if time.monotonic() >= self._until and (self._renewal is None or self._renewal.done()):
            self._until = time.monotonic() + RENEW_SECONDS
            self._renewal = asyncio.create_task(self._renewed())

    async def _renewed(self) -> None:
        client = await asyncio.to_thread(self._make)  # it reads certificates: 30 ms
        old = client
        try:
            with suppress(AioRpcError):
                await client.info()
                old, self.client = self.client, client
                await asyncio.sleep(self._longest)  # calls are under way there
        finally:
            await old.close()

    async def close(self) -> None:
        """Give the connections up."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await self.client.close()


class Nodes:
    """The addresses, in turn."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = list(nodes)
        self._next = 0

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self._next = (self._next + 1) % len(self._nodes)
            *others, last = *self._nodes[self._next :], *self._nodes[: self._next]
            for node in others:
                try:
                    return await self._ask(node, name, args, kwargs)
                except AioRpcError as error:
                    if error.code() not in GONE:
                        raise
            return await self._ask(last, name, args, kwargs)

        return call

    @staticmethod
    async def _ask(node: Node, name: str, args: Any, kwargs: Any) -> Any:
        node.renew()
        return await getattr(node.client, name)(*args, **kwargs)

    async def close(self) -> None:
        """Give all connections up."""
        await asyncio.gather(*(node.close() for node in self._nodes))
