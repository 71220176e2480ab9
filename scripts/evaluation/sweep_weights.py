"""How far words that are weighed by a sample of the chunks move a ranking, on a judged collection.

A caller who sees more than `corpus.MOST` chunks has its words weighed by a sample of half as many
or more (retriever/index/corpus.py). A collection's samples are smaller, and so they cost more than
those do. Words alone are searched, each document as one chunk.

    python -m evaluation.sweep_weights --data ../shared/data/squad
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from qdrant_client.models import SparseVector
from rich.console import Console
from rich.table import Table

from evaluation.beir import Dataset, load
from evaluation.metrics import ndcg
from retriever.index.sparse import BM25
from retriever.settings import RetrieverSettings

SIZES = (32, 128, 512)
DRAWS = 10


class Judged:
    """A collection as the sparse leg has it, and its questions."""

    def __init__(self, dataset: Dataset) -> None:
        told = RetrieverSettings.model_fields
        constants = (told[f"bm25_{name}"].default for name in ("k1", "b", "average_terms"))
        bm25 = BM25("english", *constants)
        documents = list(dataset.corpus.values())
        self._ids = [document.id for document in documents]
        self._texts = bm25.documents([f"{one.title}\n{one.text}".strip() for one in documents])
        self._postings: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for n, text in enumerate(self._texts):
            for term, weight in zip(text.indices, text.values, strict=True):
                self._postings[term].append((n, weight))
        asked = [key for key in dataset.queries if dataset.qrels.get(key)]
        self._queries = [
            (bm25.query(dataset.queries[key].text), dataset.qrels[key]) for key in asked
        ]
        self.size = len(documents)

    def ndcg(self, counted: Sequence[int]) -> float:
        """Mean nDCG@10 with the IDF that Qdrant uses, of the texts `counted`."""
        having = Counter(term for n in counted for term in self._texts[n].indices)
        gains = []
        for query, qrels in self._queries:
            scores = self._scores(query, having, len(counted))
            best = np.argsort(-scores, kind="stable")[:10]
            gains.append(ndcg([self._ids[n] for n in best], qrels, 10))
        return float(np.mean(gains))

    def _scores(
        self, query: SparseVector, having: Counter[int], counted: int
    ) -> npt.NDArray[np.float64]:
        scores = np.zeros(self.size)
        for term in query.indices:
            idf = math.log(1 + (counted - having[term] + 0.5) / (having[term] + 0.5))
            for n, weight in self._postings.get(term, []):
                scores[n] += idf * weight
        return scores


def main(data: Annotated[Path, typer.Option(help="A BEIR folder.")]) -> None:
    """Print nDCG@10 by the number of documents that the words are weighed by."""
    judged = Judged(load(data))
    rng = np.random.default_rng(1)
    table = Table("weighed by", "nDCG@10", "worst draw", title=f"{data.name}, {DRAWS} draws")
    for size in SIZES:
        drawn = (rng.choice(judged.size, size, replace=False).tolist() for _ in range(DRAWS))
        found = [judged.ndcg(counted) for counted in drawn]
        table.add_row(f"{size:,}", f"{np.mean(found):.4f}", f"{min(found):.4f}")
    table.add_row(f"all {judged.size:,}", f"{judged.ndcg(range(judged.size)):.4f}", "")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
