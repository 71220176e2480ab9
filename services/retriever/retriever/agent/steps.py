"""What happened at each tool call, as the caller is told."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from retriever.index.model import Hit


class Outcome(StrEnum):
    """How a call ended."""

    DONE = "done"
    FAILED = "failed"
    """The tool ran and said that it could not do it."""
    ERROR = "error"
    """The server was down, slow or wrong; the answer goes on without it."""
    REFUSED = "refused"
    """The gate did not let it through."""
    APPROVAL_REQUIRED = "approval_required"
    """A person must approve exactly this call first."""
    CANCELLED = "cancelled"
    """The client left."""


@dataclass(frozen=True, slots=True)
class ToolSource:
    """Where a tool's result came from, for those who cite it."""

    server: str
    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """An approval that somebody must give before the call can be made again."""

    id: str
    expires_at: float
    """Unix time, in seconds."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call. `text` is the result as the model read it, and as citations point into it."""

    id: str
    server: str
    tool: str
    arguments: dict[str, Any] | None
    """None where they were no JSON object, or held a secret."""
    outcome: Outcome
    detail: str
    """Why it did not go well, in words; empty when it did."""
    duration_ms: float
    text: str = ""
    approval: PendingApproval | None = None
    found: list[Hit] = field(default_factory=list)
    """The chunks that a search brought."""

    @property
    def source(self) -> ToolSource:
        """This call as a source of citations."""
        return ToolSource(self.server, self.tool, self.arguments or {})

    @property
    def refused(self) -> bool:
        """The tool was not called at all."""
        return self.outcome in (Outcome.REFUSED, Outcome.APPROVAL_REQUIRED)

    def dropped(self, why: str) -> "Step":
        """This call when its result could not be shown to the model."""
        return replace(self, outcome=Outcome.REFUSED, detail=why, text="", found=[])

    def hits(self) -> list[Hit]:
        """What the answer may be checked against: the chunks found, or the text as one."""
        if self.found or not self.text or self.outcome is not Outcome.DONE:
            return self.found
        return [
            Hit(
                chunk_id=self.id,
                document_id=self.id,
                title=f"{self.server} {self.tool}",
                source=f"tool:{self.server}/{self.tool}",
                page=None,
                start=0,
                end=len(self.text),
                text=self.text,
                score=1.0,
            )
        ]
