"""One line of the audit log: who did what, and how it ended. Never a text, a question or a key."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bulkhead.auth import Principal
from bulkhead.errors import ApiError


@dataclass
class Event:
    """What is known of one action, gathered while it happens."""

    request_id: str
    action: str = ""
    """Such as `document.read`, `search`, `key.create`, `tool.call`, `auth.refused`."""
    principal: Principal | None = None
    documents: list[str] = field(default_factory=list)
    """Ids of the documents that were read, found, shown to the model or deleted."""
    target: str | None = None
    """Id of the job, key or answer that it was about."""
    tool: str | None = None
    status: int = 0
    error: str | None = None
    """The `error.type` that it ended with, or `client_left`."""
    change: bool = False
    """Documents or keys are changed: the line is on the disk before the caller is told."""
    bytes_in: int = 0
    bytes_out: int = 0
    duration: float = 0.0
    """Seconds."""
    trace_id: str | None = None

    def fail(self, error: ApiError) -> None:
        """It ended with this error."""
        self.status, self.error = error.status, error.type

    @property
    def decision(self) -> str:
        """`allowed`, `denied` for the caller's fault, `failed` for ours or a client that left."""
        if 400 <= self.status < 500:
            return "denied"
        return "failed" if self.error or not 100 <= self.status < 400 else "allowed"

    def line(self, time: datetime) -> dict[str, Any]:
        """The fields of its line."""
        who = self.principal
        return {
            "time": time.isoformat(timespec="milliseconds"),
            "action": self.action,
            "key_id": who and who.key_id,
            "tenant": who and who.tenant,
            "role": who and who.role,
            "documents": list(dict.fromkeys(self.documents)),
            "target": self.target,
            "tool": self.tool,
            "decision": self.decision,
            "error": self.error,
            "status": self.status,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "duration_ms": round(self.duration * 1000, 2),
            "request_id": self.request_id,
            "trace_id": self.trace_id,
        }
