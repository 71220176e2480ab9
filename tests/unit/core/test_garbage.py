"""Garbage is collected while no request is under way."""

import asyncio
import gc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from bulkhead.garbage import Server, collect_seldom


@pytest.fixture
def full() -> Iterator[list[str]]:
    """An entry for each full collection; the collector is left as it was found."""
    made: list[str] = []

    def collected(phase: str, told: dict[str, int]) -> None:
        if phase == "start" and told["generation"] == 2:
            made.append("full")

    usual = gc.get_threshold()
    gc.callbacks.append(collected)
    yield made
    gc.callbacks.remove(collected)
    gc.unfreeze()
    gc.set_threshold(*usual)


@pytest.fixture
async def server() -> Server:
    return Server(uvicorn.Config("nothing:app"))


def middle_ones(number: int) -> None:
    """So many collections of the middle generation."""
    for _ in range(number):
        gc.collect(1)


async def test_a_full_collection_waits_until_no_request_is_under_way(
    full: list[str], server: Server
) -> None:
    collect_seldom()
    full.clear()
    request: asyncio.Task[Any] = asyncio.create_task(asyncio.sleep(10))
    server.server_state.tasks.add(request)
    middle_ones(50)
    await server.on_tick(1)
    assert not full
    server.server_state.tasks.discard(request)
    await server.on_tick(2)
    assert len(full) == 1
    await server.on_tick(3)
    assert len(full) == 1  # none is due
    request.cancel()


async def test_after_a_long_collection_the_next_is_far(
    full: list[str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect_seldom()
    full.clear()
    clock = [1000.0]
    monkeypatch.setattr("bulkhead.garbage.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def slow(phase: str, told: dict[str, int]) -> None:
        if phase == "stop" and told["generation"] == 2:
            clock[0] += 0.2

    gc.callbacks.append(slow)
    try:
        for passed, made in ((0.0, 1), (100.0, 1), (199.0, 2), (199.0, 2), (2.0, 3)):
            clock[0] += passed
            middle_ones(50)
            await server.on_tick(1)
            assert len(full) == made
    finally:
        gc.callbacks.remove(slow)


def test_where_there_always_is_a_request_it_comes_in_the_end(full: list[str]) -> None:
    collect_seldom()
    full.clear()
    middle_ones(1100)
    kept: list[list[Any]] = []
    while not full and len(kept) < 2_000_000:
        kept.append([])
    assert full


def test_what_is_there_at_the_start_is_not_walked_again(full: list[str]) -> None:
    here: list[Any] = []
    collect_seldom()
    assert gc.get_freeze_count() > 10_000
    assert not any(one is here for one in gc.get_objects())
