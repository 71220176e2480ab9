"""`/v1/approvals`: a person decides on a call of a tool that writes."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from bulkhead.event import Event
from retriever.agent.approvals import Approval, State
from retriever.api.body import JsonRoute
from retriever.api.deps import EventDep, StackDep, Writer

router = APIRouter(tags=["approvals"], route_class=JsonRoute)


class Decision(BaseModel):
    """What to do with the call."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "deny"]


class ApprovalBody(BaseModel):
    """The call, and what was decided. Approved, it can be made once, with these arguments."""

    id: str
    tool: str
    arguments: dict[str, Any]
    requested_by: str
    state: State
    expires_at: float


@router.get(
    "/v1/approvals/{approval_id}", name="approval.read", summary="See what waits for approval"
)
async def approval(
    approval_id: str, principal: Writer, stack: StackDep, event: EventDep
) -> ApprovalBody:
    """The call that waits for approval; 404 once it has expired."""
    return _body(await stack.toolbox.approvals.get(principal, approval_id), event)


@router.post(
    "/v1/approvals/{approval_id}", name="approval.decide", summary="Approve or deny a call"
)
async def decide(
    approval_id: str, body: Decision, principal: Writer, stack: StackDep, event: EventDep
) -> ApprovalBody:
    """Decide, once; 409 when it was decided before. It needs the role `writer`."""
    approve = body.decision == "approve"
    return _body(await stack.toolbox.approvals.decide(principal, approval_id, approve), event)


def _body(approval: Approval, event: Event) -> ApprovalBody:
    event.tool = approval.tool.replace("__", "/", 1)  # as in the lines of calls
    return ApprovalBody(
        id=approval.id,
        tool=approval.tool,
        arguments=approval.arguments,
        requested_by=approval.key_id,
        state=approval.state,
        expires_at=approval.expires_at,
    )
