"""Claims made from a judged collection, and how well a score parts them."""

import pytest

from evaluation.auroc import auroc
from evaluation.beir import CorpusDocument, Dataset, Query
from evaluation.claims import Claim, claims

TOWER = "The tower was built in 1889. It is 330 metres high."
RIVER = "The river rises in the hills. It was named by monks."
DATASET = Dataset(
    name="small",
    corpus={
        "t": CorpusDocument("t", "Tower", TOWER),
        "t2": CorpusDocument("t2", "Tower", "Many people visit the tower."),
        "r": CorpusDocument("r", "River", RIVER),
    },
    queries={
        "q1": Query("q1", "When was it built?", ("1889",)),
        "q2": Query("q2", "How high is it?", ("330 metres",)),
        "q3": Query("q3", "Who named it?", ("monks",)),
        "q4": Query("q4", "What colour is it?", ("green",)),
    },
    qrels={"q1": {"t": 1}, "q2": {"t": 1}, "q3": {"r": 1}, "q4": {"t": 1}},
)


def about(question: str) -> dict[str, Claim]:
    made = claims(DATASET, 10, seed=0)
    return {claim.kind: claim for claim in made if claim.question == question}


def test_each_kind_spoils_the_sentence_in_its_own_way() -> None:
    of = about("When was it built?")
    assert of["supported"].text == "The tower was built in 1889."
    assert of["foreign sentence"].text == "It was named by monks."
    assert of["foreign answer"].text == "The tower was built in monks."
    assert of["swapped answer"].text == "The tower was built in 330 metres."
    assert of["changed number"].text == "The tower was built in 1890."
    assert of["negated"].text == "The tower was not built in 1889."
    assert about("How high is it?")["opposite"].text == "It is 330 metres low."
    assert "opposite" not in of


def test_a_question_whose_answer_stands_nowhere_makes_no_claim() -> None:
    assert not about("What colour is it?")


def test_a_kind_that_cannot_be_made_is_left_out() -> None:
    assert "swapped answer" not in about("Who named it?")


def test_the_gold_paragraph_is_shown_with_one_of_its_article() -> None:
    assert [one.id for one in about("How high is it?")["supported"].shown] == ["t", "t2"]


def test_the_same_seed_makes_the_same_claims() -> None:
    assert claims(DATASET, 2, seed=3) == claims(DATASET, 2, seed=3)


@pytest.mark.parametrize(
    ("positives", "negatives", "area"),
    [
        ([1.0, 2.0], [0.0, 0.5], 1.0),
        ([0.0], [1.0], 0.0),
        ([1.0, 1.0], [1.0], 0.5),
        ([1.0, 3.0], [2.0], 0.5),
        ([2.0, 3.0], [1.0, 2.0], 0.875),
    ],
)
def test_the_area_is_the_share_of_pairs_in_order(
    positives: list[float], negatives: list[float], area: float
) -> None:
    found = auroc(positives, negatives)
    assert found is not None
    assert found.value == area
    assert found.low is not None
    assert found.high is not None
    assert found.low <= area <= found.high


def test_without_both_kinds_there_is_no_area() -> None:
    assert auroc([], [1.0]) is None
    assert auroc([1.0], []) is None
