"""What the search asks of the index: one query, in which what was said before counts a part."""

from typing import Any, cast

import pytest

from bulkhead.auth import Principal, Role
from retriever.answer.retriever import HybridRetriever
from retriever.clients.embedding import EmbeddingClient
from retriever.index.index import Index
from retriever.index.model import Hit
from retriever.index.sparse import BM25, term_id
from retriever.index.vectors import Legs
from retriever.report import Report
from retriever.search import Context, Searcher, SearchOptions
from retriever.settings import RetrieverSettings

WHO = Principal("someone", "harbour", frozenset(), Role.READER)
VECTORS = {"battery": [1.0, 0.0], "falcon price": [0.0, 1.0]}


class Embedding:
    """Knows two texts; any other fails the test."""

    async def aembed_query(self, text: str) -> list[float]:
        return VECTORS[text]


class Asked:
    """An index that finds nothing and notes what it is asked."""

    def __init__(self) -> None:
        self.legs: list[Legs] = []

    async def search(self, _: Principal, legs: Legs, *__: Any) -> list[Hit]:
        self.legs.append(legs)
        return []


@pytest.mark.parametrize(
    ("context", "dense", "sparse"),
    [
        ([], [1.0, 0.0], {"battery": 1.0}),
        (
            [Context("falcon price", 0.25, 0.5), Context("falcon", 0.0, 0.25)],
            [1.0, 0.25],
            {"battery": 1.0, "falcon": 0.75, "price": 0.5},
        ),
        ([Context("battery", 0.25, 0.5)], [1.25, 0.0], {"battery": 1.5}),  # asked once more
    ],
)
async def test_a_question_and_its_context_are_one_query(
    context: list[Context], dense: list[float], sparse: dict[str, float]
) -> None:
    index = Asked()
    searcher = Searcher(
        cast(Index, index),
        cast(EmbeddingClient, Embedding()),
        BM25("dutch", 0.9, 0.4, 100.0),  # whose stemmer leaves these words as they are
        RetrieverSettings(),
    )
    retriever = HybridRetriever(
        searcher=searcher,
        principal=WHO,
        limit=5,
        options=SearchOptions(),
        report=Report(),
        context=context,
    )
    assert await retriever.ainvoke("battery") == []
    (legs,) = index.legs
    assert legs.dense == dense
    found = dict(zip(legs.sparse.indices, legs.sparse.values, strict=True))
    assert found == {term_id(word): weight for word, weight in sparse.items()}
