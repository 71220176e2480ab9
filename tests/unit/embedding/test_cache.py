"""What the cache keeps, and under which name."""

import numpy as np

from embedding.backend import DummyBackend
from embedding.cache import Embedded, VectorCache


def embedded(value: float) -> Embedded:
    return Embedded(np.full(4, value, np.float32), 1)


def test_the_one_not_asked_for_the_longest_is_forgotten() -> None:
    cache = VectorCache(DummyBackend(), 2)
    one, two, three = (cache.key(text, "query") for text in ("1", "2", "3"))
    cache.put(one, embedded(1))
    cache.put(two, embedded(2))
    assert cache.get(one) is not None
    cache.put(three, embedded(3))
    assert cache.get(two) is None
    assert cache.get(one) is not None
    assert len(cache) == 2


def test_an_empty_cache_keeps_nothing() -> None:
    cache = VectorCache(DummyBackend(), 0)
    cache.put(b"k", embedded(1))
    assert (cache.get(b"k"), len(cache)) == (None, 0)


def test_model_revision_kind_and_text_each_make_another_key() -> None:
    class Newer(DummyBackend):
        revision = "2"

    class Other(DummyBackend):
        model_id = "other"

    cache = VectorCache(DummyBackend(), 1)
    keys = {
        cache.key("text", "query"),
        cache.key("text ", "query"),
        cache.key("text", "document"),
        VectorCache(Newer(), 1).key("text", "query"),
        VectorCache(Other(), 1).key("text", "query"),
    }
    assert len(keys) == 5


def test_a_kept_vector_does_not_hold_on_to_its_batch() -> None:
    cache = VectorCache(DummyBackend(), 1)
    batch = np.ones((1000, 4), np.float32)
    cache.put(b"k", Embedded(batch[0], 1))
    found = cache.get(b"k")
    assert found is not None
    assert found.vector.base is None
