"""What goes from step to step: a group of documents, each at the stage that it has come to."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from sys import maxsize
from typing import Any, TypeVar

from qdrant_client.models import SparseVector

from retriever.index.model import NewDocument
from retriever.ingest.items import NewItem

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """A document as it was found; `new.upload` is its place in the corpus, and `data` its bytes."""

    new: NewItem
    data: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """What cannot be taken in, and why; without a `source` nobody knows which document it was."""

    place: str
    reason: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A document that was live as it is when it was looked for: it needs no embedding."""

    place: str
    document: NewDocument
    """Of what identifies it; without chunks."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A document that was read and cut, and once it was embedded its vectors."""

    place: str
    document: NewDocument
    texts: list[str]
    sparse: list[SparseVector]
    dense: list[list[float]] | None = None


One = Found | Failed | Known | Ready
Row = dict[str, list[Any]]
"""A batch of Ray's, of rows with one column: a group each, so that steps are bounded by our own
measure and not by that of blocks."""
_COLUMN = "group"


def grouped(
    ones: Iterable[T], size: Callable[[T], int], most: int, most_ones: int = maxsize
) -> Iterator[list[T]]:
    """Them in order, in groups of this size together; one that is larger is a group by itself."""
    group: list[T] = []
    held = 0
    for one in ones:
        measured = size(one)
        if group and (held + measured > most or len(group) == most_ones):
            yield group
            group, held = [], 0
        group.append(one)
        held += measured
    if group:
        yield group


def packed(group: Iterable[One]) -> Row:
    """A batch of one row that holds the group."""
    return {_COLUMN: [pickle.dumps(list(group), protocol=pickle.HIGHEST_PROTOCOL)]}


def unpacked(batch: Any) -> Iterator[list[One]]:
    """The groups in a batch; one that is empty comes from Ray without columns."""
    for row in batch.get(_COLUMN, ()):
        yield pickle.loads(row)  # noqa: S301 - made by `packed`, and carried by Ray alone
