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

from bulkhead.garbage import collect_seldom


@dataclass(frozen=True)
class Held:
    """One callback: milliseconds of processor time that it took, and what it was.

    A garbage collection that fell into it is counted apart.
    """

    milliseconds: float
    collecting: float
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
        spent = threading.local()

        def timed(handle: Any) -> None:
            if threading.get_ident() == here:
                run(handle)
                return
            what = _what(handle)
            spent.collecting = 0.0
            started = time.thread_time()
            run(handle)
            collecting = 1000 * spent.collecting
            took = 1000 * (time.thread_time() - started) - collecting
            self.held.append(Held(took, collecting, what))

        def collected(phase: str, _: dict[str, int]) -> None:
            if phase == "start":
                spent.began = time.thread_time()
            else:
                spent.collecting = (
                    getattr(spent, "collecting", 0.0) + time.thread_time() - spent.began
                )

        usual = gc.get_threshold()
        collect_seldom()  # as a service does when it starts
        gc.callbacks.append(collected)
        try:
            with mock.patch.object(asyncio.Handle, "_run", timed):
                yield
        finally:
            gc.callbacks.remove(collected)
            gc.unfreeze()
            gc.set_threshold(*usual)


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
