"""Which chunks are counted to weigh a word: the caller's own, and of very many a sample."""

from collections import Counter

import pytest

from bulkhead.auth import Principal, Role
from retriever.index.corpus import MOST, corpus, marks
from retriever.index.points import point_id

BLUE = Principal("k2", "acme", frozenset({"blue"}), Role.READER)


def test_what_is_counted_is_all_of_a_small_corpus_and_a_bounded_sample_of_a_large_one() -> None:
    chunks = [point_id("document", n) for n in range(4096)]
    for seen in (1, 1000, MOST, MOST + 1, 300_000, 10**6, 10**7):
        (condition,) = corpus(BLUE, seen).must or []
        wanted = set(condition.match.any)  # type: ignore[union-attr]
        counted = sum(not wanted.isdisjoint(marks("acme", (), one)) for one in chunks)
        share = counted / len(chunks)
        if seen <= MOST:
            assert share == 1
        else:
            assert seen * share < 1.5 * MOST
        assert not any(not wanted.isdisjoint(marks("other", (), one)) for one in chunks[:100])
        assert not any(not wanted.isdisjoint(marks("acme", ("red",), one)) for one in chunks[:100])
    each = Counter(len(marks("acme", (), one)) for one in chunks)
    assert each[2] == pytest.approx(2048, rel=0.1)  # half of all have the lowest level alone
