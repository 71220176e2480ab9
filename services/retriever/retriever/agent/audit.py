"""What is kept of every tool call: who, what, by which decision; never a value."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bulkhead.audit import AuditLog
from bulkhead.auth import Principal
from bulkhead.event import Event
from bulkhead.logs import request_id
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import TOOL_CALLS
from bulkhead.telemetry.spans import trace_id
from retriever.agent.steps import Outcome

_STATUS = {Outcome.DONE: 200, Outcome.REFUSED: 403, Outcome.APPROVAL_REQUIRED: 403}
"""As the same outcome over HTTP would be; every other one is 502."""


@dataclass(frozen=True, slots=True)
class ToolCallRecord:
    """One call, as the gate decided it. Arguments are a hash: what they say may be secret."""

    principal: Principal
    server: str
    tool: str
    arguments_sha256: str
    outcome: Outcome
    bytes: int
    seconds: float


Audit = Callable[[ToolCallRecord], None]
"""Where the records go. It must not raise and not wait."""


def audited(log: AuditLog) -> Audit:
    """A line in the audit log for each call, and a count of it."""

    def record(call: ToolCallRecord) -> None:
        about = {names.SERVER: call.server, names.TOOL_NAME: call.tool}
        TOOL_CALLS.add(1, {**about, names.OUTCOME: call.outcome})
        event = Event(
            request_id.get(),
            action="tool.call",
            principal=call.principal,
            target=call.arguments_sha256,
            tool=f"{call.server}/{call.tool}",
            status=_STATUS.get(call.outcome, 502),
            error=None if call.outcome is Outcome.DONE else call.outcome,
            bytes_out=call.bytes,
            duration=call.seconds,
            trace_id=trace_id(),
        )
        log.append(event.line(datetime.now(UTC)))

    return record
