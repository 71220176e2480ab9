"""The performance gate: ratios within one run, by processor time, so that a busy machine passes."""

import asyncio
import time

import pytest
from vectors import vectors_of

from embedding.backend import SentenceTransformerBackend
from embedding.engine import Engine
from embedding.settings import EmbeddingSettings

TEXTS = [f"{'a few words ' * (1 + n * 5 % 12)}and number {n}" for n in range(32)]
LEAST_GAIN = 1.3
"""Of many callers' texts batched, against one call each; 2 and more on a quiet machine."""


@pytest.fixture(scope="module")
def backend() -> SentenceTransformerBackend:
    return SentenceTransformerBackend(EmbeddingSettings(dtype="float32"))


async def test_batching_callers_costs_less_than_a_call_each(
    backend: SentenceTransformerBackend,
) -> None:
    engine = Engine(backend, batch_tokens=1024, queue_texts=1000, cache_texts=0)
    await engine.start()
    gains = []
    for _ in range(2):
        started = time.process_time()
        for text in TEXTS:
            vectors_of(backend, [text])
        each = time.process_time() - started
        started = time.process_time()
        await asyncio.gather(*(engine.embed([text], "document") for text in TEXTS))
        gains.append(each / (time.process_time() - started))
    await engine.stop()
    assert max(gains) >= LEAST_GAIN, gains


async def test_what_is_kept_costs_next_to_nothing(backend: SentenceTransformerBackend) -> None:
    engine = Engine(backend, batch_tokens=1024, queue_texts=1000, cache_texts=1000)
    await engine.start()
    spent = []
    for _ in range(2):
        started = time.process_time()
        await engine.embed(TEXTS, "document")
        spent.append(time.process_time() - started)
    await engine.stop()
    assert spent[1] * 20 < spent[0]
