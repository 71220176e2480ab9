"""Threads for the work of tool calls: a few for each caller, so that one leaves room for others."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar
from weakref import WeakValueDictionary

R = TypeVar("R")
EACH = 2
"""Threads of one caller. Work that was given up holds its thread until it ends."""
ALL = 32


class Threads:
    """Runs work in threads; what one caller asks for beyond its own few waits."""

    def __init__(self, each: int = EACH, most: int = ALL) -> None:
        self._each = each
        self._pool = ThreadPoolExecutor(most, "files")
        # A semaphore is held by those who wait for it or have it, and is gone after the last.
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def run(self, caller: str, work: Callable[[], R]) -> R:
        """The result of `work`, in the context of this task."""
        loop = asyncio.get_running_loop()
        turn = self._turns.setdefault(caller, asyncio.Semaphore(self._each))
        await turn.acquire()

        def ended(_: Future[R]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(turn.release)

        running = self._pool.submit(contextvars.copy_context().run, work)
        running.add_done_callback(ended)
        return await asyncio.wrap_future(running)

    def close(self) -> None:
        """Begin nothing more; what runs is left to its own limits."""
        self._pool.shutdown(wait=False, cancel_futures=True)
