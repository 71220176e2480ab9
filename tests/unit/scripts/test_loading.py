"""The parts of the load test that need no server: schedules, mixes, the search for the knee."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from evaluation.beir import CorpusDocument, Dataset, Query
from loading.errors import LoadError
from loading.plots import Axis, Series, plot
from loading.questions import Kind, parse_mix, questions
from loading.schedule import Arrivals, arrivals
from loading.sweep import find_knee

DATASET = Dataset(
    "d",
    {f"d{n}": CorpusDocument(f"d{n}", "", f"text {n} " * 400) for n in range(5)},
    {f"q{n}": Query(f"q{n}", f"question {n}") for n in range(50)},
    {f"q{n}": {"d1": 1, "d2": 0} for n in range(50)},
)
OTHER = Dataset("o", {}, {"x": Query("x", "elsewhere")}, {})


@pytest.mark.parametrize(
    ("kind", "expected"), [("poisson", 5000), ("constant", 5000), ("ramp", 2500)]
)
def test_a_schedule_has_the_rate_that_was_asked_for(kind: str, expected: int) -> None:
    times = arrivals(Arrivals(kind), 100, 50, seed=1)
    assert abs(len(times) - expected) < 4 * expected**0.5
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < 50
    assert times == arrivals(Arrivals(kind), 100, 50, seed=1)


def test_poisson_gaps_are_exponential() -> None:
    gaps = np.diff(arrivals(Arrivals.poisson, 100, 100, seed=2))
    assert np.mean(gaps) == pytest.approx(0.01, rel=0.05)
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.05)


def test_a_ramp_grows_evenly() -> None:
    times = np.array(arrivals(Arrivals.ramp, 200, 40, seed=3))
    quarters = np.histogram(times, bins=4, range=(0, 40))[0]
    assert quarters / quarters.sum() == pytest.approx([1 / 16, 3 / 16, 5 / 16, 7 / 16], abs=0.02)


def test_a_mix_is_drawn_by_its_weights_and_the_same_for_a_seed() -> None:
    mix = parse_mix("zipf=2, unique=1,foreign=1")
    drawn = list(islice(questions(DATASET, mix, 5, OTHER), 2000))
    counts = Counter(question.kind for question in drawn)
    assert counts[Kind.zipf] == pytest.approx(1000, abs=100)
    assert counts[Kind.foreign] == pytest.approx(500, abs=80)
    assert drawn == list(islice(questions(DATASET, mix, 5, OTHER), 2000))
    assert {q.text for q in drawn if q.kind is Kind.foreign} == {"elsewhere"}
    assert {q.relevant for q in drawn if q.kind is Kind.foreign} == {frozenset()}
    assert {q.relevant for q in drawn if q.kind is Kind.zipf} == {frozenset({"d/d1"})}


def test_repeated_questions_are_few_and_unique_ones_never_come_twice() -> None:
    drawn = list(islice(questions(DATASET, parse_mix("zipf,unique"), 5), 1000))
    repeated = Counter(question.text for question in drawn if question.kind is Kind.zipf)
    assert repeated.most_common(1)[0][1] > 0.1 * repeated.total()
    unique = [question.text for question in drawn if question.kind is Kind.unique]
    assert len(set(unique)) == len(unique) > 400


def test_a_long_question_pastes_a_document() -> None:
    (question,) = islice(questions(DATASET, parse_mix("long"), 0), 1)
    assert len(question.text) > 1500
    assert question.text.endswith(DATASET.queries[question.id].text)


@pytest.mark.parametrize("capacity", [1.5, 7.0, 40.0])
async def test_the_knee_is_found_by_few_runs(capacity: float) -> None:
    tried: list[float] = []

    async def goodput(rate: float) -> float:
        tried.append(rate)
        return 1.0 if rate <= capacity else 0.5

    knee = await find_knee(goodput, 1, 64, 0.99, 0.1)
    assert knee.holds is not None
    assert knee.fails is not None
    assert knee.holds <= capacity < knee.fails <= 1.1 * knee.holds
    assert len(tried) < 10


async def test_a_knee_outside_of_what_was_tried_is_said() -> None:
    async def good(rate: float) -> float:
        return 1.0

    async def bad(rate: float) -> float:
        return 0.0

    assert (await find_knee(good, 1, 8, 0.99, 0.1)).fails is None
    assert (await find_knee(bad, 1, 8, 0.99, 0.1)).holds is None
    with pytest.raises(LoadError):
        await find_knee(good, 8, 1, 0.99, 0.1)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "points", [[(1.0, 1.0)], [(0.0, 0.0)], [(1.0, 2.0), (1.0, 2.0)], [(1e-3, 1e6), (5.0, -2.0)], []]
)
def test_odd_points_still_make_a_plot(points: list[tuple[float, float]], log: bool) -> None:
    drawn = plot([Series("<s>", points)], Axis("x", log), Axis("y", log))
    assert "nan" not in drawn
    assert "<s>" not in drawn
    assert drawn.startswith(("<svg", "<p>"))
