"""When an answer counts as holding a gold answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.squad import contains_gold, normalise


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
