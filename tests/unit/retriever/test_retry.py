from collections.abc import Awaitable, Callable
from itertools import islice

import pytest

from bulkhead.errors import Unavailable
from retriever.clients.embedding import Refused
from retriever.ingest.retry import backoff, retried


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    left = list(errors)

    async def step() -> str:
        if left:
            raise left.pop(0)
        return "made"

    return step


def test_pauses_between_tries_grow_to_eight_seconds_and_have_no_end() -> None:
    assert list(islice(backoff(), 7)) == [1, 2, 4, 8, 8, 8, 8]


async def test_what_is_waited_for_is_told_until_it_is_there() -> None:
    told: list[str | None] = []

    async def waiting(reason: str | None) -> None:
        told.append(reason)

    away = Unavailable("qdrant", "it is full")
    assert await retried(failing(away), waiting, (Refused,)) == "made"
    assert told == ["it is full", None]
    assert await retried(failing(), waiting, (Refused,)) == "made"
    assert told == ["it is full", None]  # nothing was waited for


@pytest.mark.parametrize("fault", [Refused("embedding", "too long"), ValueError("ours")])
async def test_what_no_waiting_mends_is_raised_at_once(fault: Exception) -> None:
    told: list[str | None] = []

    async def waiting(reason: str | None) -> None:
        told.append(reason)

    with pytest.raises(type(fault)):
        await retried(failing(fault), waiting, (Refused,))
    assert told == []
