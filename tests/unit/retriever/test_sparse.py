import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.index.sparse import BM25, term_id, terms

BM = BM25("english", k1=1.2, b=0.75, average_terms=4.0)


def test_words_are_folded_and_stemmed() -> None:
    assert terms("Running RUNS ran, the Ports!", "english") == ["run", "run", "ran", "the", "port"]


def test_marks_and_width_do_not_make_another_word() -> None:
    assert terms("cafe\u0301", "english") == terms("café", "english")
    assert terms("Ｐｏｒｔ", "english") == terms("port", "english")


def test_underscores_and_hyphens_part_words_so_that_settings_are_found_by_their_parts() -> None:
    assert terms("cap_drop no-new-privileges", "english") == [
        "cap",
        "drop",
        "no",
        "new",
        "privileg",
    ]


def test_scripts_without_spaces_give_a_term_a_character() -> None:
    assert terms("検索port", "english") == ["検", "索", "port"]


def test_an_unknown_language_is_an_error_that_names_the_known() -> None:
    with pytest.raises(ValueError, match="english"):
        terms("x", "klingon")


def test_weights_are_bm25s() -> None:
    (vector,) = BM.documents(["port port host"])
    norm = 1.2 * (1 - 0.75 + 0.75 * 3 / 4.0)
    weights = dict(zip(vector.indices, vector.values, strict=True))
    assert math.isclose(weights[term_id("port")], 2 * 2.2 / (2 + norm))
    assert math.isclose(weights[term_id("host")], 1 * 2.2 / (1 + norm))


def test_a_query_counts_each_term_once() -> None:
    vector = BM.query("port port host")
    assert sorted(vector.indices) == sorted({term_id("port"), term_id("host")})
    assert vector.values == [1.0, 1.0]


def test_what_a_query_is_searched_for_with_counts_its_weight() -> None:
    vector = BM.query("port host", [("host host name", 0.25), ("the", 0.5)])
    assert dict(zip(vector.indices, vector.values, strict=True)) == {
        term_id("port"): 1.0,
        term_id("host"): 1.25,
        term_id("name"): 0.25,
        term_id("the"): 0.5,
    }


@given(st.text(max_size=300))
def test_any_text_gives_a_vector_with_distinct_indices_and_positive_weights(text: str) -> None:
    (vector,) = BM.documents([text])
    assert len(set(vector.indices)) == len(vector.indices) == len(vector.values)
    assert all(0 < value <= 2.2 * len(terms(text, "english")) for value in vector.values)
    assert all(0 <= index < 2**32 for index in vector.indices)
