"""The documents of a job: as they were handed in, as they wait, and what they come to."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Row

from bulkhead.auth import Principal, Role
from retriever.index.model import Former
from retriever.index.rows import warned
from retriever.parsed import Warned

EXTRACTED = "text/plain; extracted"
"""Media type of what was handed in as text: taken as it is, no parser sees it."""
CANCELLED = "cancelled"
FAILED = "failed"
BROKEN = "something broke on our side"
"""Why a document failed, where only the log is told more."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """A document as it was handed in; `upload` names its bytes among the uploads."""

    source: str
    title: str | None
    media_type: str | None
    groups: tuple[str, ...]
    metadata: dict[str, Any]
    upload: str
    digest: str

    def columns(self) -> dict[str, Any]:
        """As a row of `job_items` has it."""
        return {**asdict(self), "groups": list(self.groups)}


@dataclass(frozen=True, slots=True)
class Item:
    """A document of a job that a worker has for as long as its lease holds, and in whose name."""

    job_id: str
    n: int
    principal: Principal
    new: NewItem
    attempt: int = 1
    """How often it was taken, this time included: with it the lease is told from a later one."""

    @property
    def place(self) -> tuple[str, int]:
        """Job and number."""
        return self.job_id, self.n

    @property
    def parsed(self) -> bool:
        """Whether a parser has to read it."""
        return self.new.media_type != EXTRACTED


@dataclass(frozen=True, slots=True)
class End:
    """What a document came to."""

    outcome: str
    document_id: str | None = None
    chunks: int = 0
    message: str | None = None
    warnings: tuple[Warned, ...] = ()
    replaced: tuple[Former, ...] = ()

    def columns(self) -> dict[str, Any]:
        """As a row of `job_items` has it."""
        return {
            "outcome": self.outcome,
            "document_id": self.document_id,
            "chunks": self.chunks,
            "message": self.message,
            "warnings": list(self.warnings),
            "warned": int(bool(self.warnings)),
            "replaced": [asdict(one) for one in self.replaced],
        }


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a document of a job."""

    source: str
    outcome: str
    document_id: str | None
    message: str | None
    """Why it did not go in."""
    warnings: tuple[Warned, ...]
    """What was lost or guessed in reading it."""
    replaced: tuple[Former, ...]
    """The documents that it took the place of."""


def result(row: Row[Any]) -> Result:
    """What a row of `job_items` came to."""
    return Result(
        source=row.source,
        outcome=row.outcome,
        document_id=row.document_id,
        message=row.message,
        warnings=warned(row.warnings),
        replaced=tuple(Former(**one) for one in row.replaced),
    )


def item(row: Row[Any]) -> Item:
    """A row of `job_items`, with its job's key."""
    return Item(
        job_id=row.job_id,
        n=row.n,
        principal=Principal(row.key_id, row.tenant, frozenset(row.key_groups), Role(row.role)),
        new=NewItem(
            source=row.source,
            title=row.title,
            media_type=row.media_type,
            groups=tuple(row.groups),
            metadata=row.metadata,
            upload=row.upload,
            digest=row.digest,
        ),
        attempt=row.attempts,
    )
