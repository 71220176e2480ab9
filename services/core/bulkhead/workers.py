"""Work on what others sent, in processes that can be killed, away from the event loop.

A file can hang what reads it, crash it or eat memory, so each is worked on in a worker of a pebble
pool: a worker over its time, over its memory or crashed costs that piece of work and nothing else,
and is replaced. Workers are forked from a clean server process (`forkserver`), never from this one,
which has threads. Whoever uses this depends on pebble.
"""

import asyncio
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

T = TypeVar("T")


class WorkerError(Exception):
    """A piece of work that its worker did not end."""


class OutOfTime(WorkerError):
    """It took longer than it may."""


class OutOfMemory(WorkerError):
    """It needs more memory than it may have."""


class Crashed(WorkerError):
    """Its worker died: of native code, which dies where Python raises, often for want of memory."""


class WorkerPool(Generic[T]):
    """A pool of worker processes for one event loop. They start with the first piece of work."""

    def __init__(
        self,
        work: Callable[..., T],
        *,
        setup: Callable[..., None],
        told: Sequence[Any],
        max_workers: int,
        seconds: float,
        memory_bytes: int,
        max_tasks: int = 1000,
    ) -> None:
        """Set up a pool; no process starts yet.

        `work` and `setup` are functions of a module; `setup(*told)` is called once in each worker.
        `seconds`: for one piece of work, its time in the queue not counted; inside, `allow` changes
        it. `memory_bytes`: a worker's address space (RLIMIT_AS), which counts what is mapped, not
        what is used. `max_tasks`: pieces of work after which a worker is replaced.
        """
        self._work = work
        self._setup = (setup, tuple(told), memory_bytes)
        self._seconds = seconds
        self._max_workers = max_workers
        self._max_tasks = max_tasks
        self._pool = self._new_pool()
        self._started: ProcessPool | None = None
        self._futures: set[ProcessFuture[T]] = set()
        self._closed = False

    async def run(self, *arguments: Any) -> T:
        """What `work(*arguments)` gives in a worker; cancelling the caller kills the work.

        Raises what it raises, `WorkerError` where it did not end, and RuntimeError once the pool
        is closed.
        """
        pool = self._pool
        try:
            return await self._run(pool, arguments)
        except BrokenProcessPool:
            # A worker died between two pieces of work (the kernel's out-of-memory killer, an
            # operator) and pebble gave the whole pool up. Once more on a new one.
            await self._replace(pool)
        try:
            return await self._run(self._pool, arguments)
        except BrokenProcessPool:
            raise Crashed("the workers cannot be kept running") from None

    def close(self) -> None:
        """End every worker at once; work under way fails with RuntimeError. Takes about 0.2 s."""
        self._closed = True
        for future in list(self._futures):
            future.cancel()
        _stop(self._pool)

    async def _run(self, pool: ProcessPool, arguments: tuple[Any, ...]) -> T:
        if self._started is not pool:
            await asyncio.to_thread(_start, pool)
            self._started = pool
        if self._closed:
            raise RuntimeError("the worker pool is closed")
        try:
            future = pool.schedule(_timed, args=(self._work, self._seconds, arguments))
        except RuntimeError as error:  # what pebble says of a pool that has ended
            raise BrokenProcessPool from error
        self._futures.add(future)
        try:
            return await asyncio.wrap_future(future)
        except MemoryError as error:
            raise OutOfMemory("it needs more memory than it may have") from error
        except ProcessExpired as error:
            if error.exitcode == -signal.SIGALRM:
                raise OutOfTime("it took longer than it may") from error
            raise Crashed("its worker died") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise RuntimeError("the worker pool was closed") from None
            raise
        finally:
            self._futures.discard(future)

    async def _replace(self, broken: ProcessPool) -> None:
        if self._pool is broken:
            self._pool = self._new_pool()
            await asyncio.to_thread(_stop, broken)

    def _new_pool(self) -> ProcessPool:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, self._work.__module__])
        return ProcessPool(
            max_workers=self._max_workers,
            max_tasks=self._max_tasks,
            initializer=_begin,
            initargs=self._setup,
            context=context,
        )


def _start(pool: ProcessPool) -> bool:
    """Start the pool's processes, once: the first takes half a second, so not on the event loop."""
    return pool.active


def _stop(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()


# What follows runs in a worker.


def allow(seconds: float) -> None:
    """From now on the piece of work under way may take `seconds` more, whatever it had before.

    The kernel's alarm ends the process then, even inside native code, and even when the process
    that would have watched it is gone.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _begin(setup: Callable[..., None], told: tuple[Any, ...], memory_bytes: int) -> None:
    # The default actions end a worker at once, even inside native code, which a handler in Python
    # would have to wait for.
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each thread would reserve address space
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    setup(*told)


def _timed(work: Callable[..., T], seconds: float, arguments: tuple[Any, ...]) -> T:
    allow(seconds)
    try:
        return work(*arguments)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
