"""The documents that wait, and those that were read and wait to be embedded: tenants in turn.

No tenant has all hands at work, whatever it handed in, so another's document finds one free.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from qdrant_client.models import SparseVector

from retriever.index.model import NewDocument
from retriever.ingest.items import Item

T = TypeVar("T")


class Turns(Generic[T]):
    """What waits, in a line for each tenant; each has its turn, and at most `most` in work."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._in_work: Counter[str] = Counter()

    def put(self, tenant: str, one: T) -> None:
        """Add to the end of the tenant's line."""
        self._lines.setdefault(tenant, deque()).append(one)

    def next(self) -> str | None:
        """The tenant whose turn it is to have one begun."""
        return next((one for one in self._lines if self._in_work[one] < self._most), None)

    def firsts(self) -> Iterator[tuple[str, T]]:
        """What is first in each line, in the order of the tenants' turns."""
        return ((tenant, line[0]) for tenant, line in self._lines.items())

    def take(self, tenant: str) -> T:
        """Take the first in the tenant's line; the others come before its next."""
        line = self._lines.pop(tenant)
        one = line.popleft()
        if line:
            self._lines[tenant] = line
        return one

    def begin(self, tenant: str) -> None:
        """The tenant has one more in work."""
        self._in_work[tenant] += 1

    def end(self, tenant: str) -> None:
        """One that had begun has ended."""
        self._in_work[tenant] -= 1
        if not self._in_work[tenant]:
            del self._in_work[tenant]


class Waiting:
    """The documents that this worker has and has not read yet."""

    def __init__(self, most: int) -> None:
        """`most`: documents of one tenant that are read at a time."""
        self._turns: Turns[Item] = Turns(most)
        self._changed = asyncio.Event()

    def put(self, items: Iterable[Item]) -> None:
        """Queue the items."""
        for item in items:
            self._turns.put(item.principal.tenant, item)
        self._changed.set()

    async def get(self) -> Item:
        """The next item; to be given back with `read`."""
        while (tenant := self._turns.next()) is None:
            self._changed.clear()
            await self._changed.wait()
        self._turns.begin(tenant)
        return self._turns.take(tenant)

    def read(self, item: Item) -> None:
        """The item was read: its tenant may have another one read."""
        self._turns.end(item.principal.tenant)
        self._changed.set()


@dataclass(frozen=True, slots=True)
class Ready:
    """A document that was read: what of each chunk is embedded, and its sparse terms."""

    item: Item
    document: NewDocument
    texts: list[str]
    sparse: list[SparseVector]


class Buffer:
    """Documents between reading and embedding, so many that neither waits for the other.

    Bounded by characters: a tenant's one document may go over the bound, its second may not.
    """

    def __init__(self, max_characters: int, most: int) -> None:
        """`most`: groups that one tenant has in work at a time."""
        self._max_characters = max_characters
        self._turns: Turns[Ready] = Turns(most)
        self._held: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    async def put(self, ready: Ready) -> None:
        """Add a document, as soon as there is room for it."""
        tenant, size = _tenant(ready), _size(ready)
        async with self._changed:
            await self._changed.wait_for(
                lambda: not self._held[tenant] or self._held.total() + size <= self._max_characters
            )
            self._turns.put(tenant, ready)
            self._held[tenant] += size
            self._changed.notify_all()

    async def take(self, max_chunks: int) -> list[Ready]:
        """What is there, at least one document, up to `max_chunks` chunks of them.

        The group is in the name of the tenant of its first; to be given back with `done`.
        """
        async with self._changed:
            while (tenant := self._turns.next()) is None:
                await self._changed.wait()
            self._turns.begin(tenant)
            group = [self._turns.take(tenant)]
            left = max_chunks - len(group[0].texts)
            while fits := self._fits(left):
                group.append(self._turns.take(fits))
                left -= len(group[-1].texts)
            for ready in group:
                self._held[_tenant(ready)] -= _size(ready)
            self._changed.notify_all()
            return group

    async def done(self, group: list[Ready]) -> None:
        """The group has its outcome: its tenant may have another in work."""
        async with self._changed:
            self._turns.end(_tenant(group[0]))
            self._changed.notify_all()

    def _fits(self, chunks: int) -> str | None:
        """The tenant whose turn it is among those whose first document has no more chunks."""
        firsts = self._turns.firsts()
        return next((tenant for tenant, one in firsts if len(one.texts) <= chunks), None)


def _tenant(ready: Ready) -> str:
    return ready.item.principal.tenant


def _size(ready: Ready) -> int:
    return len(ready.document.text)
