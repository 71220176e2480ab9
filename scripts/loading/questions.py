"""What is asked: a mix of repeated, new, foreign and long questions from judged collections."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from evaluation.beir import Dataset, sample
from loading.errors import LoadError

ZIPF = 1.1
"""Exponent of the popularity of repeated questions: the second is asked about half as often."""
PASTED = 1500
"""Characters of a document that a long question quotes."""


class Kind(StrEnum):
    """Why a question is in the mix."""

    zipf = "zipf"
    unique = "unique"
    foreign = "foreign"
    long = "long"


@dataclass(frozen=True, slots=True)
class Question:
    """A question; `relevant` are the sources judged relevant, none where that is not known."""

    kind: Kind
    id: str
    text: str
    relevant: frozenset[str]


def parse_mix(mix: str) -> dict[Kind, float]:
    """The weights in `zipf=0.5,unique=0.5`, summing to 1. Raises `LoadError` for anything else."""
    weights: dict[Kind, float] = {}
    for part in mix.split(","):
        name, _, weight = part.partition("=")
        try:
            weights[Kind(name.strip())] = float(weight or 1)
        except ValueError as error:
            kinds = ", ".join(Kind)
            raise LoadError(f"mix: {part!r} is not KIND=WEIGHT with one of {kinds}") from error
    total = sum(weights.values())
    if min(weights.values()) < 0 or not 0 < total < float("inf"):
        raise LoadError("mix: weights must not be negative, and their sum above 0")
    return {kind: weight / total for kind, weight in weights.items()}


def questions(
    dataset: Dataset, mix: dict[Kind, float], seed: int, foreign: Dataset | None = None
) -> Iterator[Question]:
    """Questions without end, the same for the same seed.

    `zipf` repeats the collection's judged questions, few of them often; `unique` never repeats
    one, and marks it with a number once all were asked; `foreign` asks another collection's
    questions; `long` pastes a document before the question. Raises `LoadError` for `foreign`
    without another collection.
    """
    if mix.get(Kind.foreign) and foreign is None:
        raise LoadError("mix: foreign questions need another collection (--foreign)")
    return _drawn(dataset, mix, seed, foreign)


def _drawn(
    dataset: Dataset, mix: dict[Kind, float], seed: int, foreign: Dataset | None
) -> Iterator[Question]:
    rng = np.random.default_rng(seed)
    pool = sample(list(dataset.qrels), None, seed)
    others = sample(list(foreign.queries), None, seed) if foreign else []
    documents = sample([one.id for one in dataset.corpus.values() if one.body], None, seed)
    popularity = 1 / np.arange(1, len(pool) + 1) ** ZIPF
    shares = (popularity / popularity.sum()).cumsum()
    kinds, weights = list(mix), np.cumsum(list(mix.values()))
    asked = dict.fromkeys(Kind, 0)
    while True:
        kind = kinds[min(int(np.searchsorted(weights, rng.random(), "right")), len(kinds) - 1)]
        number = asked[kind]
        asked[kind] += 1
        if kind is Kind.foreign and foreign is not None:
            id_ = others[number % len(others)]
            yield Question(kind, f"{foreign.name}/{id_}", foreign.queries[id_].text, frozenset())
            continue
        if kind is Kind.zipf:
            id_ = pool[min(int(np.searchsorted(shares, rng.random())), len(pool) - 1)]
        else:
            id_ = pool[number % len(pool)]
        text = dataset.queries[id_].text
        if kind is Kind.unique and number >= len(pool):
            text = f"{text} ({number // len(pool)})"
        if kind is Kind.long:
            quoted = dataset.corpus[documents[number % len(documents)]].body[:PASTED]
            text = f"{quoted}\n\n{text}"
        yield Question(kind, id_, text, frozenset(map(dataset.source, dataset.relevant(id_))))
