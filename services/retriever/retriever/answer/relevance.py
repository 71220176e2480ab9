"""Whether anything was found that bears on the question; if not, the model is not asked."""

from collections.abc import Sequence

from retriever.answer.ground import Evidence
from retriever.index.model import Hit

NOTHING_FOUND = "I could not find anything about this in the documents."


def relevant(hits: Sequence[Hit], evidence: Evidence, dense: float, terms: float) -> bool:
    """True when the best chunk is near enough by meaning, or holds enough of the question's words.

    `dense` is the least cosine, `terms` the least share of the question's weighted terms.
    """
    nearest = max((hit.scores.dense for hit in hits if hit.scores.dense is not None), default=-1.0)
    return nearest >= dense or evidence.coverage_of_question() >= terms
