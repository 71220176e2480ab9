"""The documents that wait, in order, and those that were read and wait to be embedded."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from qdrant_client.models import SparseVector

from retriever.index.model import NewDocument
from retriever.ingest.jobs import Item


class Waiting:
    """A queue of documents in which those of one source come one after another.

    The next one is given out when the one before it is `done`, so that the later always wins.
    """

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._behind: dict[tuple[str, str], deque[Item]] = {}
        self._known: set[tuple[str, int]] = set()

    def put(self, items: Iterable[Item]) -> None:
        """Queue the items that are not in the queue or in work."""
        for item in items:
            if (item.job_id, item.n) in self._known:
                continue
            self._known.add((item.job_id, item.n))
            if item.key in self._behind:
                self._behind[item.key].append(item)
            else:
                self._behind[item.key] = deque()
                self._queue.put_nowait(item)

    async def get(self) -> Item:
        """The next item; to be given back with `done`."""
        return await self._queue.get()

    def done(self, item: Item) -> None:
        """The item has its outcome: the next of its source may go."""
        self._known.discard((item.job_id, item.n))
        behind = self._behind[item.key]
        if behind:
            self._queue.put_nowait(behind.popleft())
        else:
            del self._behind[item.key]


@dataclass(frozen=True, slots=True)
class Ready:
    """A document that was read: what of each chunk is embedded, and its sparse terms."""

    item: Item
    document: NewDocument
    texts: list[str]
    sparse: list[SparseVector]


class Buffer:
    """Documents between reading and embedding, so many that neither waits for the other.

    Bounded by characters: one document may go over the bound, two may not.
    """

    def __init__(self, max_characters: int) -> None:
        self._max_characters = max_characters
        self._held: deque[Ready] = deque()
        self._characters = 0
        self._changed = asyncio.Condition()

    async def put(self, ready: Ready) -> None:
        """Add a document, as soon as there is room for it."""
        size = len(ready.document.text)
        async with self._changed:
            await self._changed.wait_for(
                lambda: not self._held or self._characters + size <= self._max_characters
            )
            self._held.append(ready)
            self._characters += size
            self._changed.notify_all()

    async def take(self, max_chunks: int) -> list[Ready]:
        """What is there, at least one document, up to `max_chunks` chunks of them."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._held)
            taken = [self._held.popleft()]
            chunks = len(taken[0].texts)
            while self._held and chunks + len(self._held[0].texts) <= max_chunks:
                taken.append(self._held.popleft())
                chunks += len(taken[-1].texts)
            self._characters -= sum(len(ready.document.text) for ready in taken)
            self._changed.notify_all()
            return taken
