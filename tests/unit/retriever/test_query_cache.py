"""Questions' vectors: kept up to a bound, and one call for all who ask for the same at once."""

import asyncio

import pytest
from telemetry import Recorded

from bulkhead.errors import Unavailable
from retriever.clients.query_cache import Embed, QueryCache


class Service:
    """Embeds a text as its length, as soon as `gate` is open, and counts its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.called, self.cancelled = asyncio.Event(), asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    def embed(self, text: str) -> Embed:
        async def embed() -> list[float]:
            self.calls.append(text)
            self.called.set()
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            if self.error is not None:
                raise self.error
            return [float(len(text)), 0.5]

        return embed


async def test_a_question_is_embedded_once_and_counted() -> None:
    service, cache, recorded = Service(), QueryCache(8), Recorded()
    for _ in range(3):
        assert await cache.get("m", "why", service.embed("why")) == [3.0, 0.5]
    assert service.calls == ["why"]
    labels = {"rag_cache": "queries"}
    assert recorded.total("rag.cache.lookups", rag_result="miss", **labels) == 1
    assert recorded.total("rag.cache.lookups", rag_result="hit", **labels) == 2


async def test_another_model_has_vectors_of_its_own() -> None:
    service, cache = Service(), QueryCache(8)
    await cache.get("one", "why", service.embed("why"))
    await cache.get("other", "why", service.embed("why"))
    assert service.calls == ["why", "why"]


async def test_the_one_not_asked_for_the_longest_is_forgotten() -> None:
    service, cache = Service(), QueryCache(2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await cache.get("m", text, service.embed(text))
    assert service.calls == ["a", "b", "c", "b"]
    assert len(cache) == 2


async def test_nothing_is_kept_where_nothing_may_be() -> None:
    service, cache = Service(), QueryCache(0)
    for _ in range(2):
        await cache.get("m", "a", service.embed("a"))
    assert service.calls == ["a", "a"]
    assert len(cache) == 0


async def test_all_who_ask_at_once_wait_for_one_call() -> None:
    service, cache = Service(), QueryCache(0)
    service.gate.clear()
    asked = [asyncio.create_task(cache.get("m", "why", service.embed("why"))) for _ in range(20)]
    await asyncio.wait_for(service.called.wait(), 60)
    service.gate.set()
    assert await asyncio.gather(*asked) == [[3.0, 0.5]] * 20
    assert service.calls == ["why"]


async def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    service, cache = Service(), QueryCache(8)
    service.gate.clear()
    service.error = Unavailable("embedding", "it is down")
    asked = [asyncio.create_task(cache.get("m", "why", service.embed("why"))) for _ in range(3)]
    await asyncio.wait_for(service.called.wait(), 60)
    service.gate.set()
    assert await asyncio.gather(*asked, return_exceptions=True) == [service.error] * 3
    service.error = None
    assert await cache.get("m", "why", service.embed("why")) == [3.0, 0.5]


async def test_who_leaves_takes_the_call_from_nobody_and_the_last_ends_it() -> None:
    service, cache = Service(), QueryCache(8)
    service.gate.clear()
    first, second = (
        asyncio.create_task(cache.get("m", "why", service.embed("why"))) for _ in range(2)
    )
    await asyncio.wait_for(service.called.wait(), 60)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not service.cancelled.is_set()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await asyncio.wait_for(service.cancelled.wait(), 60)
    service.gate.set()
    assert await cache.get("m", "why", service.embed("why")) == [3.0, 0.5]
    assert service.calls == ["why", "why"]
