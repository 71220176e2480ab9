"""Which of the chunks found are put before the model: those worth their tokens."""

from collections.abc import Sequence

from retriever.index.model import Hit

_BYTES_A_TOKEN = 4
"""What a token of words is taken for: English prose has 4 to 5, other scripts fewer characters but
more bytes to each. Of digits many tokenizers make a token each (Qwen2.5's, for one)."""


def shown(hits: Sequence[Hit], tokens: int, most: int, beside_best: float) -> list[int]:
    """The places of the chunks to show, best first: the first, and of the others those worth it.

    A chunk is worth it from the share `beside_best` of the best score. They have `tokens` together
    at most, titles included, and are `most` at most.
    """
    least = beside_best * max((hit.score for hit in hits), default=0.0)
    left = float(tokens)
    chosen = list[int]()
    for place, hit in enumerate(hits):
        size = tokens_of(hit.title) + tokens_of(hit.shown)
        if chosen and (hit.score < least or size > left):
            continue
        chosen.append(place)
        left -= size
        if len(chosen) == most:
            break
    return chosen


def tokens_of(text: str) -> float:
    """About how many tokens a text is."""
    digits = sum(map(text.count, "0123456789"))
    return digits + (len(text.encode()) - digits) / _BYTES_A_TOKEN
