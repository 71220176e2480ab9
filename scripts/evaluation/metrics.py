"""Ranking metrics of one query, as trec_eval and so pytrec_eval and BEIR define them.

A ranking is a list of document ids, best first, each at most once; `grades` maps judged documents
to whole numbers. What is not judged, or judged 0 or less, is not relevant. A query without any
relevant document scores 0. Unlike trec_eval, ties are left as the server ordered them, and unlike
BEIR's default, a document that shares its id with the query is kept: Cranfield numbers both from 1.
"""

from collections.abc import Callable, Mapping, Sequence
from math import log2

Metric = Callable[[Sequence[str], Mapping[str, int], int], float]


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """nDCG@k with linear gain: DCG = sum of grade / log2(rank + 1), over the best possible DCG.

    Linear gain (the grade itself, Järvelin and Kekäläinen 2002) is what trec_eval's ndcg_cut
    uses; the exponential 2^grade - 1 of the learning-to-rank papers gives other numbers.
    """
    _check(ranking, k)
    ideal = _dcg(sorted((_gain(grade) for grade in grades.values()), reverse=True)[:k])
    return (
        _dcg([_gain(grades.get(document, 0)) for document in ranking[:k]]) / ideal if ideal else 0.0
    )


def recall(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """Share of the relevant documents that are among the first k."""
    _check(ranking, k)
    relevant = sum(grade > 0 for grade in grades.values())
    return sum(_relevances(ranking, grades, k)) / relevant if relevant else 0.0


def mrr(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """Reciprocal rank of the first relevant document, 0 where the first k hold none."""
    _check(ranking, k)
    ranks = (rank for rank, hit in enumerate(_relevances(ranking, grades, k), start=1) if hit)
    return 1.0 / rank if (rank := next(ranks, None)) else 0.0


def hit(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """1 where any of the first k documents is relevant, else 0."""
    _check(ranking, k)
    return float(any(_relevances(ranking, grades, k)))


METRICS: dict[str, Metric] = {"ndcg": ndcg, "recall": recall, "mrr": mrr, "hit": hit}


def _relevances(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> list[bool]:
    return [grades.get(document, 0) > 0 for document in ranking[:k]]


def _gain(grade: int) -> int:
    return max(grade, 0)


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _check(ranking: Sequence[str], k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if len(set(ranking)) != len(ranking):
        raise ValueError("a document is ranked twice: a ranking holds each once")
