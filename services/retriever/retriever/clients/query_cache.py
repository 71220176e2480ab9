"""The vectors of questions that were asked before, or are being asked right now."""

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b

from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import CACHE_LOOKUPS

Embed = Callable[[], Awaitable[list[float]]]


@dataclass(slots=True)
class _Flight:
    """A call under way, and how many wait for it."""

    task: asyncio.Task[list[float]]
    waiting: int = 0


class QueryCache:
    """The vectors asked for last, by model and text; one call for all who ask for the same at once.

    All tenants share it. A vector depends on the model and the text alone, never on a document or a
    principal, and whoever gets one has named the text: nothing of another tenant's can come out.
    What remains is the time of a reply: it may tell that the very same words were asked lately.

    Bounded by number: an entry takes four bytes a dimension and about 300 more.
    """

    def __init__(self, most: int) -> None:
        """`most` vectors are kept; with 0 none is, and calls at once are still made one."""
        self._most = most
        self._kept: OrderedDict[bytes, array[float]] = OrderedDict()
        self._flights: dict[bytes, _Flight] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, model: str, text: str, embed: Embed) -> list[float]:
        """The vector of `text`: kept, or of the call under way, or of `embed`, called now.

        Whoever waits for a call sees its error, and no error is kept. A call ends with the last of
        those who wait for it.
        """
        key = _key(model, text)
        kept = self._kept.get(key)
        flight = self._flights.get(key)
        hit = kept is not None or flight is not None
        CACHE_LOOKUPS.add(1, {names.CACHE: "queries", names.RESULT: "hit" if hit else "miss"})
        if kept is not None:
            self._kept.move_to_end(key)
            return kept.tolist()
        if flight is None:
            flight = _Flight(asyncio.create_task(self._fly(key, embed)))
            self._flights[key] = flight
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                if self._flights.get(key) is flight:  # nobody may join a call that is given up
                    del self._flights[key]
                flight.task.cancel()

    async def _fly(self, key: bytes, embed: Embed) -> list[float]:
        mine = asyncio.current_task()
        try:
            vector = await embed()
        finally:
            flight = self._flights.get(key)
            if flight is not None and flight.task is mine:
                del self._flights[key]
        self._kept[key] = array("f", vector)  # an eighth of what a list of floats takes
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return vector


def _key(model: str, text: str) -> bytes:
    """A digest, so that a long question costs no more room than a short one."""
    content = f"{model}\0{text}".encode("utf-8", "surrogatepass")
    return blake2b(content, digest_size=16).digest()
