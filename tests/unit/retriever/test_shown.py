"""How many chunks the model is shown: those worth it, within a budget."""

from retriever.answer.shown import shown
from retriever.index.model import Hit, Scores


def hit(score: float, characters: int = 400) -> Hit:
    text = "x" * (characters - 4)
    return Hit("c", "d", "Name", "s", None, 0, len(text), text, score, scores=Scores())


def test_chunks_far_below_the_best_are_left_out_wherever_they_stand() -> None:
    found = [hit(0.5), hit(0.3), hit(0.6), hit(0.41), hit(0.42)]
    assert shown(found, 10_000, 12, 0.7) == [0, 2, 4]
    assert shown(found, 10_000, 12, 0.0) == [0, 1, 2, 3, 4]
    assert shown(found, 10_000, 2, 0.0) == [0, 1]


def test_what_is_shown_fits_the_tokens_but_for_the_first_chunk() -> None:
    found = [hit(0.5, 400), hit(0.5, 800), hit(0.5, 400), hit(0.5, 400)]
    assert shown(found, 200, 12, 0.7) == [0, 2]  # a chunk that does not fit makes room for others
    assert shown(found, 199, 12, 0.7) == [0]
    assert shown(found, 1, 12, 0.7) == [0]
    assert shown([hit(0.5, 1000)], 1, 12, 0.7) == [0]


def test_bytes_are_counted_so_that_no_script_is_taken_for_short() -> None:
    wide = hit(0.5)
    wide = Hit(**{**{f: getattr(wide, f) for f in Hit.__dataclass_fields__}, "text": "港" * 396})
    assert shown([wide, hit(0.5)], 300, 12, 0.7) == [0]
    assert shown([wide, hit(0.5)], 400, 12, 0.7) == [0, 1]


def test_a_digit_is_a_token() -> None:
    rows = hit(0.5)
    rows = Hit(**{**{f: getattr(rows, f) for f in Hit.__dataclass_fields__}, "text": "7" * 99})
    assert shown([rows, hit(0.5)], 199, 12, 0.7) == [0]
    assert shown([rows, hit(0.5)], 200, 12, 0.7) == [0, 1]


def test_without_scores_the_order_alone_decides() -> None:
    assert shown([hit(0.0), hit(0.0)], 10_000, 12, 0.7) == [0, 1]
    assert shown([], 10_000, 12, 0.7) == []
