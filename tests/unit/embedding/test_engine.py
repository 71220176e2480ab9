"""The engine without HTTP: what goes into a batch, in which order, and what is left out."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from vectors import vectors_of

from bulkhead.errors import InvalidValue, RateLimited
from embedding.backend import DummyBackend, Vectors
from embedding.engine import BULK_NICE, Engine, Result
from embedding.queue import Pair
from embedding.tokens import Kind, Tokens


class Gated(DummyBackend):
    """Remembers each batch, and computes only while its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def encode(self, texts: Sequence[Tokens], kind: Kind) -> Vectors:
        self.batches.append([tokens.text for tokens in texts])
        self.entered.release()
        if kind == "document":
            assert self.gate.wait(60)
        if "poison" in self.batches[-1]:
            raise ValueError("this text cannot be computed")
        return super().encode(texts, kind)

    def rerank(self, pairs: Sequence[Pair]) -> Vectors:
        self.batches.append([f"{query}/{document}" for query, document in pairs])
        return super().rerank(pairs)


@pytest.fixture
def backend() -> Gated:
    return Gated()


@pytest.fixture
async def engine(backend: Gated) -> AsyncIterator[Engine]:
    engine = Engine(backend, batch_tokens=256, queue_texts=100, cache_texts=0)
    await engine.start()
    backend.batches.clear()
    backend.entered = threading.Semaphore(0)
    yield engine
    backend.gate.set()
    await engine.stop()


def submit(engine: Engine, texts: list[str], kind: Kind = "document") -> asyncio.Task[Result]:
    """Texts on their way into the queue; they are in it once they are counted."""
    return asyncio.create_task(engine.embed(texts, kind))


async def counted(engine: Engine) -> None:
    """Whatever was submitted before this was counted, and waits."""
    await asyncio.sleep(0)  # the tasks run up to their count
    for lane in engine._lanes:
        await lane.count(lambda: None)  # which one thread does in order
    await asyncio.sleep(0)


async def busy(engine: Engine, backend: Gated) -> asyncio.Task[Result]:
    """A batch that computes until the gate opens, so that all that follows has to wait."""
    backend.gate.clear()
    first = submit(engine, ["first"])
    assert await asyncio.to_thread(backend.entered.acquire, timeout=60)
    return first


async def test_callers_at_the_same_time_share_a_batch(engine: Engine, backend: Gated) -> None:
    first = await busy(engine, backend)
    tasks = [submit(engine, [f"text {i}"]) for i in range(20)]
    await counted(engine)
    backend.gate.set()
    await asyncio.gather(first, *tasks)
    assert [len(batch) for batch in backend.batches] == [1, 20]


async def test_vectors_come_back_in_the_order_of_the_texts(engine: Engine) -> None:
    texts = [("word " * (1 + i * 7 % 50)).strip() + f" {i}" for i in range(60)]
    result = await submit(engine, texts)
    assert np.array_equal(result.vectors, vectors_of(DummyBackend(), texts))


async def test_no_batch_is_over_its_budget_of_padded_tokens(engine: Engine, backend: Gated) -> None:
    await submit(engine, ["word " * (1 + i * 37 % 100) + str(i) for i in range(80)])
    assert sum(map(len, backend.batches)) == 80
    for batch in backend.batches:
        tokens = backend.tokenize(batch, "document")
        assert max(one.count for one in tokens) * len(batch) <= 256


async def test_a_text_longer_than_the_budget_goes_alone(backend: Gated) -> None:
    backend.max_tokens = 2000
    engine = Engine(backend, batch_tokens=256, queue_texts=100, cache_texts=0)
    await engine.start()
    long = "word " * 1000
    result = await submit(engine, [long, "short"])
    await engine.stop()
    assert [long] in backend.batches
    assert result.vectors.shape == (2, backend.dimension)


async def test_a_text_that_is_there_twice_is_computed_once(engine: Engine, backend: Gated) -> None:
    result = await submit(engine, ["same", "other", "same"])
    assert backend.batches == [["same", "other"]]
    assert np.array_equal(result.vectors[0], result.vectors[2])
    assert result.tokens == [3, 3, 3]


async def test_a_query_does_not_wait_for_bulk(engine: Engine, backend: Gated) -> None:
    first = await busy(engine, backend)
    bulk = submit(engine, ["bulk"])
    query = await asyncio.wait_for(submit(engine, ["query"], "query"), 60)
    assert query.vectors.shape == (1, backend.dimension)
    assert not first.done()
    assert not bulk.done()
    backend.gate.set()
    await asyncio.gather(first, bulk)


async def test_bulk_goes_on_under_a_flood_of_queries(engine: Engine, backend: Gated) -> None:
    over = asyncio.Event()

    async def flood(name: int) -> int:
        n = 0
        while not over.is_set():
            n += 1
            await engine.embed([f"query {name} {n}"], "query")
        return n

    queries = [asyncio.create_task(flood(name)) for name in range(8)]
    bulk = [await engine.embed([f"document {n}"], "document") for n in range(20)]
    over.set()
    assert len(bulk) == 20
    assert min(await asyncio.gather(*queries)) > 0


async def test_pairs_of_several_callers_share_a_batch_and_a_budget(
    engine: Engine, backend: Gated
) -> None:
    documents = [f"red {'fox ' * (n % 7)}".strip() for n in range(60)]
    one, two = await asyncio.gather(
        engine.rerank("red fox", documents), engine.rerank("a cat", ["a cat", "a dog"])
    )
    assert one == [1.0 if n % 7 == 0 else 2.0 for n in range(60)]
    assert two == [2.0, 1.0]
    assert sum(map(len, backend.batches)) == 62
    assert max(map(len, backend.batches)) > 2
    assert any({"a cat/a dog"} < set(batch) for batch in backend.batches)


async def test_a_cancelled_request_is_never_computed(engine: Engine, backend: Gated) -> None:
    first = await busy(engine, backend)
    left, stays = submit(engine, ["left"]), submit(engine, ["stays"])
    await counted(engine)
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
    waiting = submit(engine, [f"waiting {n}" for n in range(100)])
    await counted(engine)
    with pytest.raises(RateLimited) as refused:
        await submit(engine, ["one too many"])
    assert int(refused.value.headers["Retry-After"]) >= 1
    backend.gate.set()
    await asyncio.gather(first, waiting)
    assert (await submit(engine, ["now there is room"])).tokens == [6]


async def test_a_batch_that_fails_takes_only_its_own_callers_along(
    engine: Engine, backend: Gated
) -> None:
    with pytest.raises(ValueError, match="cannot be computed"):
        await submit(engine, ["poison"])
    assert engine.running
    assert (await submit(engine, ["fine"])).tokens == [3]


async def test_stopping_ends_what_waits(engine: Engine, backend: Gated) -> None:
    first = await busy(engine, backend)
    waiting = submit(engine, ["waiting"])
    await counted(engine)
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    backend.gate.set()
    await stopping
    results = await asyncio.gather(first, waiting, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2
    assert ["waiting"] not in backend.batches


async def test_what_was_asked_for_before_is_not_computed_again(backend: Gated) -> None:
    engine = Engine(backend, batch_tokens=256, queue_texts=100, cache_texts=2)
    await engine.start()
    backend.batches.clear()
    first = await engine.embed(["one", "two"], "document")
    again = await engine.embed(["two", "one"], "document")
    assert np.array_equal(first.vectors, again.vectors[::-1])
    await engine.embed(["one"], "query")  # another kind is another vector
    await engine.embed(["one"], "document")  # the third that was kept pushed "two" or "one" out
    await engine.stop()
    assert backend.batches == [["one", "two"], ["one"]]


@pytest.mark.parametrize("cache_texts", [0, 10])
async def test_a_text_that_is_too_long_is_refused_also_when_it_is_known(
    backend: Gated, cache_texts: int
) -> None:
    engine = Engine(backend, batch_tokens=256, queue_texts=100, cache_texts=cache_texts)
    await engine.start()
    long = "word " * 300
    assert (await engine.embed([long], "document")).tokens == [256]
    with pytest.raises(InvalidValue, match=r"input\.1: 302 tokens"):
        await engine.embed(["short", long], "document", truncate=False)
    await engine.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
async def test_bulk_yields_to_queries_and_the_rest_of_the_process_does_not() -> None:
    seen: dict[str, int] = {}

    class Noting(DummyBackend):
        def encode(self, texts: Sequence[Tokens], kind: Kind) -> Vectors:
            seen[kind] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
            return super().encode(texts, kind)

    engine = Engine(Noting(), batch_tokens=256, queue_texts=10, cache_texts=0)
    await engine.start()
    await engine.stop()
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert seen == {"query": own, "document": min(own + BULK_NICE, 19)}
