"""`POST /v1/feedback`: a vote and a comment on an answer."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import FEEDBACK
from retriever.api.body import JsonRoute
from retriever.api.deps import EventDep, Reader, StackDep

router = APIRouter(tags=["feedback"], route_class=JsonRoute)


class Vote(BaseModel):
    """A reader's verdict; a second vote on the same answer takes the place of the first."""

    model_config = ConfigDict(extra="forbid")

    response_id: str = Field(
        max_length=100, description="The `id` of a chat completion.", examples=["chatcmpl-4f1c…"]
    )
    vote: Literal["up", "down"]
    comment: str = Field("", max_length=4000, examples=["The port is right, the page is not."])


class Kept(BaseModel):
    """The vote is kept."""

    response_id: str
    vote: Literal["up", "down"]


@router.post("/v1/feedback", status_code=201, name="feedback.vote", summary="Vote on an answer")
async def feedback(body: Vote, principal: Reader, stack: StackDep, event: EventDep) -> Kept:
    """Keep a vote and a comment on an answer given to the caller, or for an admin to the tenant.

    For any other answer 404.
    """
    await stack.feedback.vote(principal, body.response_id, body.vote, body.comment)
    FEEDBACK.add(1, {names.VOTE: body.vote})
    event.target = body.response_id
    return Kept(response_id=body.response_id, vote=body.vote)
