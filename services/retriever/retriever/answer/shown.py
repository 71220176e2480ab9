"""Which of the chunks found are put before the model: those worth their tokens."""

from collections.abc import Sequence

from retriever.index.model import Hit

BYTES_A_TOKEN = 4
"""What a token is taken for: English prose has 4 to 5, other scripts fewer characters but more
bytes to each."""


def shown(hits: Sequence[Hit], tokens: int, most: int, beside_best: float) -> list[int]:
    """The places of the chunks to show, best first: the first, and of the others those worth it.

    A chunk is worth it from the share `beside_best` of the best one's cosine; where no cosine is
    known, of the best score of words. They have `tokens` together at most, titles included, and
    are `most` at most.
    """
    worths = _worths(hits)
    least = beside_best * max(worths, default=0.0)
    left = tokens * BYTES_A_TOKEN
    chosen = list[int]()
    for place, (hit, worth) in enumerate(zip(hits, worths, strict=True)):
        size = len(hit.title.encode()) + len(hit.shown.encode())
        if chosen and (worth < least or size > left):
            continue
        chosen.append(place)
        left -= size
        if len(chosen) == most:
            break
    return chosen


def _worths(hits: Sequence[Hit]) -> list[float]:
    if any(hit.scores.dense is not None for hit in hits):
        return [hit.scores.dense or 0.0 for hit in hits]
    return [hit.scores.sparse or 0.0 for hit in hits]
