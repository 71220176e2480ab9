"""Watches event loops: how long each callback kept its loop from all others."""

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock


@dataclass(frozen=True)
class Held:
    """One callback: milliseconds of processor time that it took, and what it was."""

    milliseconds: float
    what: str


class Watchdog:
    """Every callback of the asyncio loops that run in other threads of this process.

    Time is the thread's own processor time: what a busy machine gives to others does not count, and
    neither does a wait for a lock, the interpreter's above all, while another thread computes.
    uvloop's callbacks are not seen: serve with `loop="asyncio"`.
    """

    def __init__(self) -> None:
        self.held: list[Held] = []

    def longer_than(self, milliseconds: float) -> list[Held]:
        """The callbacks that took longer, the longest first."""
        long = [one for one in self.held if one.milliseconds > milliseconds]
        return sorted(long, key=lambda one: -one.milliseconds)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the block ends."""
        run: Any = asyncio.Handle._run
        here = threading.get_ident()

        def timed(handle: Any) -> None:
            if threading.get_ident() == here:
                run(handle)
                return
            what = _what(handle)
            started = time.thread_time()
            run(handle)
            self.held.append(Held(1000 * (time.thread_time() - started), what))

        gc.collect()
        gc.freeze()  # as a service does when it starts
        try:
            with mock.patch.object(asyncio.Handle, "_run", timed):
                yield
        finally:
            gc.unfreeze()


def _what(handle: Any) -> str:
    """The line at which a task goes on, or the callback's name."""
    task = getattr(handle._callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        # No repr: that of an aiohttp response reads headers that are not there yet, for good.
        return getattr(handle._callback, "__qualname__", type(handle._callback).__name__)
    frames = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        code = getattr(awaited, "cr_code", None) or getattr(awaited, "ag_code", None)
        frames.append(code.co_qualname if code else type(awaited).__name__)
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
    return " > ".join(frames[-6:])
