"""Whether anything was found that bears on the question; if not, the model is not asked."""

from collections.abc import Sequence

from retriever.answer.ground import Evidence
from retriever.index.model import Hit

_WORDS_COUNT = 0.5
"""A share of the question's words counts half as much as the same cosine (docs/quality.md)."""


def relevant(hits: Sequence[Hit], evidence: Evidence, least: float, least_words: float) -> bool:
    """True when the best chunk is near enough by meaning and words together.

    The measure is its cosine plus half the share of the question's weighted terms that one chunk
    holds; it must reach `least`. Where no cosine is known the share alone must reach `least_words`.
    """
    words = evidence.coverage_of_question()
    cosines = [hit.scores.dense for hit in hits if hit.scores.dense is not None]
    if not cosines:
        return words >= least_words
    return max(cosines) + _WORDS_COUNT * words >= least
