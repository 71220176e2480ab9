"""What a store or a neighbour cannot do now is tried again, with growing pauses, until it can."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, repeat
from typing import TypeVar

from bulkhead.errors import Unavailable

T = TypeVar("T")
logger = logging.getLogger(__name__)

_PAUSES = (1, 2, 4, 8)
"""Seconds between tries; the last holds for all that follow."""


def backoff() -> Iterator[int]:
    """How long to wait before the next try, in seconds, without an end."""
    return chain(_PAUSES, repeat(_PAUSES[-1]))


async def retried(
    step: Callable[[], Awaitable[T]],
    waiting: Callable[[str | None], Awaitable[None]],
    lasting: tuple[type[Unavailable], ...],
) -> T:
    """What the step gives, once it can.

    `waiting` is told what is waited for, and nothing once that is over. Raises `lasting` faults,
    and what is no neighbour's fault.
    """
    waited = False
    for pause in backoff():
        try:
            made = await step()
        except lasting:
            raise
        except Unavailable as error:
            logger.warning("documents will be tried again", extra={"reason": error.message})
            waited = True
            await waiting(error.message)
        else:
            if waited:
                await waiting(None)
            return made
        await asyncio.sleep(pause)
    raise AssertionError("the pauses have no end")
