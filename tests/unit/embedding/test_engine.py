"""The engine without HTTP: what goes into a batch, in which order, and what is left out."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from bulkhead.errors import RateLimited
from embedding.backend import DummyBackend, Kind, Vectors
from embedding.engine import Engine


class Gated(DummyBackend):
    """Remembers each batch, and computes only while its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def encode(self, texts: Sequence[str], kind: Kind) -> Vectors:
        self.batches.append(list(texts))
        self.entered.release()
        assert self.gate.wait(10)
        if "poison" in texts:
            raise ValueError("this text cannot be computed")
        return super().encode(texts, kind)


@pytest.fixture
def backend() -> Gated:
    return Gated()


@pytest.fixture
async def engine(backend: Gated) -> AsyncIterator[Engine]:
    engine = Engine(backend, batch_tokens=256, queue_texts=100)
    await engine.start()
    backend.batches.clear()
    assert backend.entered.acquire(timeout=1)
    yield engine
    backend.gate.set()
    await engine.stop()


def submit(engine: Engine, texts: list[str], kind: Kind = "document") -> asyncio.Task[Vectors]:
    """Texts on their way into the queue; they are in it once the loop has turned."""
    tokens = engine.backend.count_tokens(texts)
    return asyncio.create_task(engine.embed(texts, tokens, kind))


async def busy(engine: Engine, backend: Gated) -> asyncio.Task[Vectors]:
    """A batch that computes until the gate opens, so that all that follows has to wait."""
    backend.gate.clear()
    first = submit(engine, ["first"])
    assert await asyncio.to_thread(backend.entered.acquire, timeout=5)
    return first


async def test_callers_at_the_same_time_share_a_batch(engine: Engine, backend: Gated) -> None:
    first = await busy(engine, backend)
    tasks = [submit(engine, [f"text {i}"]) for i in range(20)]
    await asyncio.sleep(0)
    backend.gate.set()
    await asyncio.gather(first, *tasks)
    assert [len(batch) for batch in backend.batches] == [1, 20]


async def test_vectors_come_back_in_the_order_of_the_texts(engine: Engine) -> None:
    texts = [("word " * (1 + i * 7 % 50)).strip() + f" {i}" for i in range(60)]
    vectors = await submit(engine, texts)
    assert np.array_equal(vectors, DummyBackend().encode(texts, "document"))


async def test_no_batch_is_over_its_budget_of_padded_tokens(engine: Engine, backend: Gated) -> None:
    await submit(engine, ["word " * (1 + i * 37 % 100) for i in range(80)])
    for batch in backend.batches:
        assert max(backend.count_tokens(batch)) * len(batch) <= 256


async def test_a_text_longer_than_the_budget_goes_alone(backend: Gated) -> None:
    backend.max_tokens = 2000
    engine = Engine(backend, batch_tokens=256, queue_texts=100)
    await engine.start()
    long = "word " * 1000
    vectors = await submit(engine, [long, "short"])
    await engine.stop()
    assert [long] in backend.batches
    assert vectors.shape == (2, backend.dimension)


async def test_texts_of_like_length_share_a_batch(engine: Engine, backend: Gated) -> None:
    first = await busy(engine, backend)
    short, long = ["a b"] * 10, ["word " * 50] * 5
    tasks = [submit(engine, [text]) for pair in zip(long * 2, short, strict=True) for text in pair]
    await asyncio.sleep(0)
    backend.gate.set()
    await asyncio.gather(first, *tasks)
    assert backend.batches[1] == short
    assert {len(batch) for batch in backend.batches[2:]} <= {2, 4}


async def test_a_query_goes_before_bulk_that_came_earlier(engine: Engine, backend: Gated) -> None:
    first = await busy(engine, backend)
    bulk = submit(engine, ["bulk"] * 10)
    query = submit(engine, ["query"], "query")
    await asyncio.sleep(0)
    backend.gate.set()
    await asyncio.gather(first, bulk, query)
    assert backend.batches[1:] == [["query"], ["bulk"] * 10]


async def test_a_long_text_is_not_starved_by_short_ones(
    engine: Engine, backend: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedding.engine._OLD_SECONDS", 0.0)
    first = await busy(engine, backend)
    long = submit(engine, ["word " * 200])
    await asyncio.sleep(0)
    short = submit(engine, ["short"] * 90)
    await asyncio.sleep(0)
    backend.gate.set()
    await asyncio.gather(first, long, short)
    assert backend.batches[1] == ["word " * 200]


async def test_a_cancelled_request_is_never_computed(engine: Engine, backend: Gated) -> None:
    first = await busy(engine, backend)
    left, stays = submit(engine, ["left"]), submit(engine, ["stays"])
    await asyncio.sleep(0)
    left.cancel()
    backend.gate.set()
    await asyncio.gather(first, stays)
    with pytest.raises(asyncio.CancelledError):
        await left
    assert backend.batches == [["first"], ["stays"]]


async def test_a_full_queue_refuses_and_says_when_to_come_back(
    engine: Engine, backend: Gated
) -> None:
    first = await busy(engine, backend)
    waiting = submit(engine, ["waiting"] * 100)
    await asyncio.sleep(0)
    with pytest.raises(RateLimited) as refused:
        await submit(engine, ["one too many"])
    assert int(refused.value.headers["Retry-After"]) >= 1
    backend.gate.set()
    await asyncio.gather(first, waiting)
    assert (await submit(engine, ["now there is room"])).shape == (1, backend.dimension)


async def test_a_batch_that_fails_takes_only_its_own_callers_along(
    engine: Engine, backend: Gated
) -> None:
    with pytest.raises(ValueError, match="cannot be computed"):
        await submit(engine, ["poison"])
    assert engine.running
    assert (await submit(engine, ["fine"])).shape == (1, backend.dimension)


async def test_stopping_ends_what_waits(engine: Engine, backend: Gated) -> None:
    first = await busy(engine, backend)
    waiting = submit(engine, ["waiting"])
    await asyncio.sleep(0)
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    backend.gate.set()
    await stopping
    results = await asyncio.gather(first, waiting, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2
    assert ["waiting"] not in backend.batches
