"""A queue with a thread that works it off."""

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bulkhead.errors import RateLimited
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import (
    BATCH_DURATION,
    BATCH_FILL,
    BATCH_TEXTS,
    EMBEDDED_TOKENS,
    QUEUE_SECONDS,
    QUEUE_TEXTS,
)
from embedding.backend import Vectors
from embedding.queue import Item, Queue, Row, Work

T = TypeVar("T")

_LONGEST_WAIT = 60  # seconds; what a refused caller is told at most


class Lane:
    """Threads compute batches, each its own; another counts tokens, which holds up no batch."""

    def __init__(
        self,
        name: str,
        works: Sequence[Work],
        compute: Callable[[Sequence[Item]], Vectors],
        *,
        batch_tokens: int,
        launch_tokens: int,
        most: int,
        pads: Collection[Work],
        workers: int = 1,
        nice: int = 0,
    ) -> None:
        """`compute` gives a row an item, in `workers` threads at once.

        `batch_tokens`, `launch_tokens` and `pads` are the queue's, `most` is what may wait in it.
        `nice` is added to the threads' own, where the system can.
        """
        self._compute = compute
        self._most = most
        self._labels = {names.LANE: name}
        self._queue = Queue(works, batch_tokens, launch_tokens, pads)
        self._arrived = asyncio.Event()
        self._workers = workers
        self._computing = ThreadPoolExecutor(workers, f"{name} compute", _yielding, (nice,))
        self._counting = ThreadPoolExecutor(1, f"{name} count", _yielding, (nice,))
        self._loops: list[asyncio.Task[None]] = []
        self._taken: set[Item] = set()
        self._rate = 0.0  # tokens a second of one worker, as lately seen

    async def start(self, warm: Callable[[], None]) -> None:
        """Run `warm` in each thread that computes, then take work."""
        everyone = range(self._workers)
        await asyncio.gather(*(self._in(self._computing, warm) for _ in everyone))
        self._loops = [asyncio.create_task(self._run()) for _ in everyone]

    async def stop(self) -> None:
        """End: the model finishes what it is at, and every caller that waits is cancelled."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        while batch := self._queue.next_batch(math.inf):
            self._taken.update(batch)
        for item in self._taken:
            item.done.cancel()
        for pool in (self._computing, self._counting):
            await asyncio.to_thread(pool.shutdown)

    @property
    def running(self) -> bool:
        """Whether work is taken and computed."""
        return bool(self._loops) and not any(loop.done() for loop in self._loops)

    async def count(self, count: Callable[[], T]) -> T:
        """The result of `count`, computed off the event loop and beside the model."""
        return await self._in(self._counting, count)

    async def submit(self, items: Sequence[Item]) -> list[Row]:
        """The items' rows, in order. Cancelled, its items leave the queue.

        Raises `RateLimited` when the queue is full; an empty queue takes any one caller.
        """
        if len(self._queue) and len(self._queue) + len(items) > self._most:
            rate = self._rate * self._workers
            wait = self._queue.tokens / rate if rate else 1.0
            retry_after = min(max(1, math.ceil(wait)), _LONGEST_WAIT)
            message = "too many texts are waiting; send fewer at once, or later"
            raise RateLimited(message, retry_after)
        self._queue.put(items)
        QUEUE_TEXTS.add(len(items), self._labels)
        self._arrived.set()
        try:
            return await asyncio.gather(*(item.done for item in items))
        finally:
            waiting = len(self._queue)
            self._queue.drop(items)
            QUEUE_TEXTS.add(len(self._queue) - waiting, self._labels)
            for item in items:
                item.done.cancel()

    async def _run(self) -> None:
        while True:
            batch = self._queue.next_batch(time.monotonic())
            if not batch:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            QUEUE_TEXTS.add(-len(batch), self._labels)
            self._taken.update(batch)
            await self._work_off(batch)
            self._taken.difference_update(batch)

    async def _work_off(self, batch: Sequence[Item]) -> None:
        started = time.monotonic()
        try:
            rows = await self._in(self._computing, lambda: self._compute(batch))
        except Exception as error:  # the callers of this batch get it; the others go on
            for item in batch:
                if not item.done.done():
                    item.done.set_exception(error)
            return
        seconds = max(time.monotonic() - started, 1e-6)
        rate = sum(item.tokens for item in batch) / seconds
        self._rate = 0.8 * self._rate + 0.2 * rate if self._rate else rate
        for item, row in zip(batch, rows, strict=True):
            if not item.done.done():
                item.done.set_result(row)
        self._record(batch, started, seconds)

    def _record(self, batch: Sequence[Item], started: float, seconds: float) -> None:
        BATCH_DURATION.record(seconds, self._labels)
        BATCH_TEXTS.record(len(batch), self._labels)
        BATCH_FILL.record(self._queue.fill(batch), self._labels)
        EMBEDDED_TOKENS.add(sum(item.tokens for item in batch), self._labels)
        QUEUE_SECONDS.record(started - min(item.since for item in batch), self._labels)

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def _yielding(nice: int) -> None:
    """Lower the thread's priority. Linux has one a thread, which threads it starts inherit."""
    if nice and hasattr(os, "sched_getaffinity"):
        thread = threading.get_native_id()
        before = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(before + nice, 19))
