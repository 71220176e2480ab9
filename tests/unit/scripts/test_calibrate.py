"""A judge's threshold, chosen on one half of the claims and measured on the other."""

from pathlib import Path

import pytest

from evaluation.beir import CorpusDocument
from evaluation.calibrate import Scored, chosen, halves, scored
from evaluation.claims import Claim
from evaluation.errors import EvaluationError
from quality.evaluation import Sample, Unscored, Verdict
from quality.judge import Judge

FINE, BLAMED = Verdict("supported", 0.9), Verdict("unsupported", -0.4)


def test_the_threshold_blames_as_many_true_sentences_as_it_may_and_no_more() -> None:
    true = [n / 100 for n in range(1, 101)]
    for false_alarms, most in ((0.0, 0), (0.04, 4), (0.05, 5)):
        threshold = chosen(true, false_alarms)
        assert sum(score < threshold for score in true) == most
    assert chosen([0.5, 0.9], 0.04) == 0.25
    with pytest.raises(ValueError, match="no true sentence"):
        chosen([])


def test_the_halves_share_no_question() -> None:
    made = [
        Scored(question, kind, 0.5, FINE)
        for question in ("q1", "q2", "q3")
        for kind in ("supported", "negated")
    ]
    first, second = halves(made)
    assert [one.question for one in first] == ["q1", "q1", "q3", "q3"]
    assert [one.question for one in second] == ["q2", "q2"]


async def test_a_run_that_was_ended_goes_on_where_it_was(tmp_path: Path) -> None:
    paragraph = (CorpusDocument("a", "A", "The tower was built in 1889."),)
    made = [
        Claim("supported", "When?", "The tower was built in 1889.", paragraph),
        Claim("negated", "When?", "The tower was not built in 1889.", paragraph),
    ]
    judge = Scripted(0.9, None)
    with pytest.raises(EvaluationError, match="a claim was not judged: model_unreachable"):
        await scored(judge, made, tmp_path / "scores.jsonl")
    judge = Scripted(0.2)
    found = await scored(judge, made, tmp_path / "scores.jsonl")
    assert [(one.kind, one.score) for one in found] == [("supported", 0.9), ("negated", 0.2)]


class Scripted(Judge):
    """Gives these scores; none is a server that is not there."""

    def __init__(self, *scores: float | None) -> None:
        self._scores = list(scores)

    async def score(self, sample: Sample) -> float:
        score = self._scores.pop(0)
        if score is None:
            raise Unscored("model_unreachable")
        return score


def test_both_together_object_to_what_either_objects_to() -> None:
    for lexical, score, label in (
        (FINE, 0.8, "supported"),
        (FINE, 0.2, "unsupported"),
        (BLAMED, 0.8, "unsupported"),
        (BLAMED, 0.2, "unsupported"),
    ):
        assert Scored("q", "negated", score, lexical).together(0.5).label == label
