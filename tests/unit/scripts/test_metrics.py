"""Ranking metrics and their intervals: cases worked by hand, and properties of every case."""

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.beir import CorpusDocument, Dataset, Query
from evaluation.bootstrap import Estimate, estimate, percentiles
from evaluation.metrics import METRICS, Metric, hit, mrr, ndcg, recall
from evaluation.retrieval import Ranking, cutoffs, score, summarise

GRADES = {"a": 3, "b": 2, "c": 0, "d": 1}
DOCUMENTS = list("abcdefghij")

gradings = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(-1, 4), min_size=1)
rankings = st.lists(st.sampled_from(DOCUMENTS), unique=True)
ks = st.integers(1, 12)


def test_ndcg_uses_linear_gain() -> None:
    # Gains 2, 0, 3 of (b, x, a); the ideal order is a, b, d: 3, 2, 1.
    expected = (2 / 1 + 3 / log2(4)) / (3 / 1 + 2 / log2(3) + 1 / log2(4))

    assert ndcg(["b", "x", "a"], GRADES, 3) == pytest.approx(expected)


def test_ndcg_cuts_ranking_and_ideal_at_k() -> None:
    assert ndcg(["b", "a"], GRADES, 1) == pytest.approx(2 / 3)


def test_recall_mrr_and_hit_by_hand() -> None:
    ranking = ["x", "c", "b", "a"]

    assert recall(ranking, GRADES, 3) == pytest.approx(1 / 3)
    assert recall(ranking, GRADES, 4) == pytest.approx(2 / 3)
    assert mrr(ranking, GRADES, 4) == pytest.approx(1 / 3)
    assert mrr(ranking, GRADES, 2) == 0.0
    assert hit(ranking, GRADES, 3) == 1.0
    assert hit(ranking, GRADES, 2) == 0.0


@pytest.mark.parametrize("metric", METRICS.values())
def test_a_query_with_nothing_relevant_or_nothing_found_scores_zero(metric: Metric) -> None:
    assert metric(["a", "b"], {"a": 0, "b": -1}, 10) == 0.0
    assert metric([], GRADES, 10) == 0.0


@pytest.mark.parametrize("metric", METRICS.values())
def test_a_document_ranked_twice_and_a_k_of_zero_are_refused(metric: Metric) -> None:
    with pytest.raises(ValueError, match="ranked twice"):
        metric(["a", "a"], GRADES, 10)
    with pytest.raises(ValueError, match="at least 1"):
        metric(["a"], GRADES, 0)


@given(rankings, gradings, ks)
def test_every_metric_lies_between_zero_and_one(
    ranking: list[str], grades: dict[str, int], k: int
) -> None:
    for metric in METRICS.values():
        assert 0.0 <= metric(ranking, grades, k) <= 1.0 + 1e-12


@given(gradings, ks)
def test_the_perfect_ranking_has_ndcg_mrr_and_hit_of_one(grades: dict[str, int], k: int) -> None:
    grades |= {"a": 4}
    perfect = sorted(grades, key=lambda document: -grades[document])

    assert ndcg(perfect, grades, k) == pytest.approx(1.0)
    assert mrr(perfect, grades, k) == 1.0
    assert hit(perfect, grades, k) == 1.0
    assert recall(perfect, grades, len(perfect)) == 1.0


@given(rankings, gradings, st.integers(0, 8))
def test_moving_a_better_document_up_never_lowers_ndcg(
    ranking: list[str], grades: dict[str, int], at: int
) -> None:
    if at + 1 >= len(ranking):
        return
    upper, lower = ranking[at], ranking[at + 1]
    better = [*ranking[:at], lower, upper, *ranking[at + 2 :]]
    if max(grades.get(lower, 0), 0) >= max(grades.get(upper, 0), 0):
        assert ndcg(better, grades, 10) >= ndcg(ranking, grades, 10) - 1e-12


@given(st.dictionaries(st.sampled_from(["q1", "q2", "q3", "q4"]), rankings, min_size=1), st.data())
def test_the_order_of_the_queries_changes_nothing(
    ranked: dict[str, list[str]], data: st.DataObject
) -> None:
    dataset = Dataset(
        "small",
        {document: CorpusDocument(document, "", "text") for document in DOCUMENTS},
        {id_: Query(id_, "text") for id_ in ranked},
        dict.fromkeys(ranked, GRADES),
    )
    made = [Ranking(id_, documents, 1.0, {}) for id_, documents in ranked.items()]
    shuffled = data.draw(st.permutations(made))

    first = summarise(score(dataset, made, 10), 10, seed=3)

    assert summarise(score(dataset, shuffled, 10), 10, seed=3) == first


@pytest.mark.parametrize(
    ("top_k", "expected"), [(10, [1, 5, 10]), (1, [1]), (7, [1, 5, 7]), (100, [1, 5, 10, 100])]
)
def test_metrics_are_given_at_the_usual_ranks_and_at_the_last(
    top_k: int, expected: list[int]
) -> None:
    assert cutoffs(top_k) == expected


def test_an_interval_is_the_same_for_the_same_seed_only() -> None:
    values = [n % 7 / 7 for n in range(40)]

    assert estimate(values, seed=1) == estimate(values, seed=1)
    assert estimate(values, seed=1) != estimate(values, seed=2)


def test_an_interval_agrees_with_the_normal_approximation() -> None:
    found = estimate([0.0, 1.0] * 200, seed=0)

    assert found.value == 0.5
    assert found.n == 400
    assert found.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.006)
    assert found.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.006)


def test_a_ratio_is_of_sums_and_not_a_mean_of_ratios() -> None:
    found = estimate([1, 0], [1, 4], seed=0)

    assert found.value == pytest.approx(0.2)
    assert found.n == 5


def test_a_share_of_nothing_has_no_value() -> None:
    assert estimate([]) == Estimate(None, None, None, 0)
    assert estimate([0, 0], [0, 0]) == Estimate(None, None, None, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_a_share_and_its_interval_lie_between_zero_and_one(counts: list[tuple[int, int]]) -> None:
    found = estimate([min(pair) for pair in counts], [max(pair) for pair in counts], resamples=50)

    for number in (found.value, found.low, found.high):
        assert number is None or 0.0 <= number <= 1.0


def test_intervals_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="2 numerators but 1 denominators"):
        estimate([1, 1], [1])
    with pytest.raises(ValueError, match="resamples"):
        estimate([1], resamples=0)


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentiles([]) is None
    assert percentiles([1.0, 3.0]) == {"p50": 2.0, "p95": pytest.approx(2.9), "mean": 2.0}
