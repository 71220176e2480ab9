"""When an answer counts as holding a gold answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.squad import contains_gold, normalise, word_f1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Court of Justice.", "court of justice"),
        ("an apple, a day", "apple day"),
        ("Levi's\nStadium", "levis stadium"),
        ("theatre", "theatre"),
        ("the", ""),
        ("\u00c9mile", "\u00e9mile"),
    ],
)
def test_normalisation_is_that_of_squad(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("answer", "golds", "expected"),
    [
        ("It is the Court of Justice [1].", ["Court of Justice"], True),
        ("It was 1985.", ["5"], False),
        ("It was built in stone [5].", ["5"], False),
        ("It was built in 5[2] years.", ["5"], True),
        ("Sixty-four squares.", ["64", "sixty-four"], True),
        ("Anything at all.", ["the", ""], False),
        ("Anything at all.", [], False),
        ("", ["x"], False),
    ],
)
def test_gold_counts_as_whole_words_without_markers(
    answer: str, golds: list[str], expected: bool
) -> None:
    assert contains_gold(answer, golds) is expected


@given(st.text())
def test_normalising_keeps_an_answer_its_own_gold(text: str) -> None:
    if normalise(text) and "[" not in text:
        assert contains_gold(text, [text])


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("Neil Armstrong [1].", "neil armstrong", 1.0),
        ("The Moon and the Sun.", "The Moon.", 0.5),  # of moon, and, sun: one of three, one of one
        ("A moon, a moon.", "The moon.", 2 / 3),  # what stands once is had in common once
        ("Mars.", "The Moon.", 0.0),
        ("", "", 0.0),
    ],
)
def test_words_in_common_are_counted_as_squad_does(
    answer: str, reference: str, expected: float
) -> None:
    assert word_f1(answer, reference) == pytest.approx(expected)
