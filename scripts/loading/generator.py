"""Sends the requests: on a schedule (open loop) or as clients that wait for replies (closed)."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from loading.calls import Caller
from loading.outcome import Outcome
from loading.questions import Question

Seen = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Due:
    """A request to send `at` seconds after the start."""

    at: float
    call: str
    question: Question


async def open_loop(caller: Caller, plan: Sequence[Due], began: Seen, ended: Seen) -> list[Outcome]:
    """Send each request when it is due, whatever became of those before it; all outcomes.

    A server that stalls is still sent to, and what waits behind the stall counts the waiting.
    """
    outcomes: list[Outcome] = []
    running: set[asyncio.Task[None]] = set()
    with _undisturbed():
        start = time.perf_counter()

        def clock() -> float:
            return time.perf_counter() - start

        async def one(due: Due, outcome: Outcome) -> None:
            await caller.send(due.question, outcome, clock)
            ended(outcome)

        try:
            for number, due in enumerate(plan):
                if (wait := due.at - clock()) > 0:
                    await asyncio.sleep(wait)
                outcome = _outcome(number, due.call, due.question, due.at)
                outcomes.append(outcome)
                began(outcome)
                task = asyncio.create_task(one(due, outcome))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    return outcomes


async def closed_loop(
    caller: Caller,
    clients: int,
    duration: float,
    call: str,
    questions: Iterator[Question],
    began: Seen,
    ended: Seen,
) -> list[Outcome]:
    """`clients` that each send the next request when their last has ended; all outcomes.

    What such clients measure is kinder than what users meet: a server that stalls is not sent to.
    """
    outcomes: list[Outcome] = []
    with _undisturbed():
        start = time.perf_counter()

        def clock() -> float:
            return time.perf_counter() - start

        async def client() -> None:
            while (now := clock()) < duration:
                question = next(questions)
                outcome = _outcome(len(outcomes), call, question, now)
                outcomes.append(outcome)
                began(outcome)
                await caller.send(question, outcome, clock)
                ended(outcome)

        await asyncio.gather(*(client() for _ in range(clients)))
    return outcomes


def _outcome(number: int, call: str, question: Question, scheduled: float) -> Outcome:
    return Outcome(number, call, question.kind, question.id, scheduled)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without the garbage collector, whose pauses would count as the server's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
