"""What goes into the index and what comes out."""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from qdrant_client.models import SparseVector

from bulkhead.auth import Principal
from retriever.parsed import Warned


class Mode(StrEnum):
    """Which legs of the search run."""

    HYBRID = "hybrid"
    DENSE = "dense"
    SPARSE = "sparse"


class Outcome(StrEnum):
    """What taking in a document did."""

    ADDED = "added"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Former:
    """A document that another took the place of."""

    id: str
    title: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Change:
    """What taking in a document did, and which documents it took the place of."""

    outcome: Outcome
    replaced: tuple[Former, ...] = ()


class Deletion(StrEnum):
    """What became of a deletion that was decided: it shows at once either way."""

    DONE = "done"
    ACCEPTED = "accepted"
    """Chunks are left in the store, which takes no writes now; they go as soon as it does."""


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """A chunk as offsets, in code points, into its document's extracted text."""

    start: int
    end: int
    page: int | None
    heading: str
    page_breaks: tuple[int, ...] = ()
    """Where in the document's text, inside this chunk, further pages begin."""
    table_header: str = ""
    """The header of the table among whose rows it begins: no part of it, but of what it says."""


def document_id(
    tenant: str,
    source: str,
    title: str | None,
    media_type: str | None,
    groups: tuple[str, ...],
    metadata: dict[str, Any],
    digest: str,
    parser: str | None = None,
) -> str:
    """The id that a document's content gives it: the same twice is the same id, any change another.

    A change of its title, its metadata or the groups that it is shared with is a change too.
    `digest` is the SHA-256 of the bytes as they came, so that a known document need not be parsed;
    `parser` the version of the parser that reads them, for with another they may give another text.
    """
    identity = [tenant, source, title, media_type, sorted(groups), metadata, digest]
    identity += filter(None, [parser])
    canonical = json.dumps(identity, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document ready to be indexed. `text` is what every offset points into."""

    id: str
    source: str
    title: str
    media_type: str
    groups: tuple[str, ...]
    metadata: dict[str, Any]
    text: str
    pages: tuple[int, ...]
    chunks: list[ChunkSpan]
    digest: str = ""
    """SHA-256 of its bytes as they were handed in, in hex."""
    parser: str | None = None
    file_metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the file says of itself."""
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, slots=True)
class Addition:
    """A document to take in, in whose name, with one vector a chunk on each leg."""

    principal: Principal
    document: NewDocument
    dense: Sequence[Sequence[float]]
    sparse: Sequence[SparseVector]

    @property
    def source(self) -> tuple[str, str]:
        """Tenant and source: changes of one are made one after another."""
        return self.principal.tenant, self.document.source


@dataclass(frozen=True, slots=True)
class Document:
    """A live document, without its text."""

    id: str
    source: str
    title: str
    media_type: str
    groups: tuple[str, ...]
    metadata: dict[str, Any]
    pages: int | None
    chunks: int
    characters: int
    created_at: str
    sha256: str | None = None
    """Of its bytes as they were handed in; none where an older release took it in."""
    parser: str | None = None
    """The parser's version; none for what came as text, or was read by an older release."""
    file_metadata: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, slots=True)
class Scores:
    """A chunk's score on each leg; none where the leg did not run or did not bring the chunk."""

    dense: float | None = None
    sparse: float | None = None
    rerank: float | None = None
    exact: int | None = None
    """How many of the query's identifiers the chunk holds as they are written; none without any."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a search found. Results are ordered by `scores.exact`, then by `score`."""

    chunk_id: str
    document_id: str
    title: str
    source: str
    page: int | None
    start: int
    end: int
    text: str
    score: float
    scores: Scores = field(default_factory=Scores)
    page_breaks: tuple[int, ...] = ()
    table_header: str = ""

    @property
    def shown(self) -> str:
        """What is read of it: its text, under the header of the table that it is a part of."""
        return f"{self.table_header}\n{self.text}" if self.table_header else self.text

    def page_at(self, offset: int) -> int | None:
        """The page of a place inside this chunk, given in code points of the document's text."""
        if self.page is None:
            return None
        return self.page + bisect_right(self.page_breaks, offset)
