"""The engine: texts of all callers, batched for the model. It works without HTTP."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from bulkhead.errors import RateLimited
from embedding.backend import Backend, Kind, Vectors

T = TypeVar("T")

_OLD_SECONDS = 0.5
"""A text that has waited this long goes before all that are younger, whatever its length."""


@dataclass(eq=False, slots=True)
class _Text:
    text: str
    kind: Kind
    tokens: int
    since: float
    done: asyncio.Future[Vectors]

    def turn(self, now: float) -> tuple[int, float]:
        """Queries first, bulk in order of length; and what has waited long before all bulk."""
        if self.kind == "query":
            return (0, self.since)
        if now - self.since > _OLD_SECONDS:
            return (1, self.since)
        return (2, self.tokens)


class Engine:
    """One thread computes; the queue before it is bounded and ordered."""

    def __init__(self, backend: Backend, batch_tokens: int, queue_texts: int) -> None:
        """`batch_tokens` bounds texts times the longest of them, padding included."""
        self.backend = backend
        self._batch_tokens = batch_tokens
        self._queue_texts = queue_texts
        self._waiting: list[_Text] = []
        self._arrived = asyncio.Event()
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._tokenize = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Warm the model up, then take work."""
        await self._in(self._compute, lambda: self.backend.encode(["warm up"], "document"))
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End: the model finishes what it is at, and every caller that waits is cancelled."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        for text in self._waiting:
            text.done.cancel()
        self._compute.shutdown()
        self._tokenize.shutdown()

    @property
    def running(self) -> bool:
        """Whether texts are taken and computed."""
        return self._loop is not None and not self._loop.done()

    async def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, before any cut."""
        return await self._in(self._tokenize, lambda: self.backend.count_tokens(texts))

    async def embed(self, texts: Sequence[str], tokens: Sequence[int], kind: Kind) -> Vectors:
        """Unit vectors of shape (texts, dimension), in order; `tokens` as `count` gave them.

        Raises `RateLimited` when the queue is full. Cancelled, its texts leave the queue.
        """
        if self._waiting and len(self._waiting) + len(texts) > self._queue_texts:
            raise RateLimited("too many texts are waiting; send fewer at once, or later", 1)
        loop, now = asyncio.get_running_loop(), time.monotonic()
        longest = self.backend.max_tokens
        mine = [
            _Text(text, kind, min(count, longest), now, loop.create_future())
            for text, count in zip(texts, tokens, strict=True)
        ]
        self._waiting += mine
        self._arrived.set()
        try:
            return np.stack(await asyncio.gather(*(text.done for text in mine)))
        finally:
            for text in mine:
                text.done.cancel()

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float] | None:
        """Relevance of each document; none when there is no reranking model."""
        return await self._in(self._compute, lambda: self.backend.rerank(query, documents))

    async def _run(self) -> None:
        while True:
            self._waiting = [text for text in self._waiting if not text.done.done()]
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            batch = self._next_batch()
            encode = partial(self.backend.encode, [text.text for text in batch], batch[0].kind)
            try:
                vectors = await self._in(self._compute, encode)
            except asyncio.CancelledError:  # `stop` ends these callers with the others
                self._waiting += batch
                raise
            except Exception as error:  # the callers of this batch get it; the others go on
                for text in batch:
                    if not text.done.done():
                        text.done.set_exception(error)
                continue
            for text, vector in zip(batch, vectors, strict=True):
                if not text.done.done():
                    text.done.set_result(vector)

    def _next_batch(self) -> list[_Text]:
        """The text whose turn it is, and those of its kind that are nearest to it in length.

        As many as fit the budget of padded tokens, so that a batch under load is long and flat.
        """
        now = time.monotonic()
        first = min(self._waiting, key=lambda text: text.turn(now))
        alike = [text for text in self._waiting if text.kind == first.kind and text is not first]
        alike.sort(key=lambda text: abs(text.tokens - first.tokens))
        batch, longest = [first], first.tokens
        for text in alike:
            longest = max(longest, text.tokens)
            if longest * (len(batch) + 1) > self._batch_tokens:
                break
            batch.append(text)
        taken = set(batch)
        self._waiting = [text for text in self._waiting if text not in taken]
        return batch

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)
