"""`POST /v1/evaluations`: an answer to be evaluated, later."""

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from bulkhead.auth import KeyRing, bearer_key
from quality.evaluation import Sample
from quality.line import Line

router = APIRouter(tags=["evaluation"])


class Taken(BaseModel):
    """What becomes of the answer."""

    evaluators: list[str] = Field(
        description="Those that will evaluate it. Others have not drawn it, or are too busy."
    )


async def _known(request: Request) -> None:
    keys: KeyRing = request.app.state.keys
    keys.principal(bearer_key(request))


@router.post(
    "/v1/evaluations",
    status_code=202,
    summary="Hand in an answer",
    dependencies=[Depends(_known)],
)
async def evaluations(body: Sample, request: Request) -> Taken:
    """Queue an answer for each evaluator. Its text is kept until then, in memory alone."""
    lines: list[Line] = request.app.state.lines
    return Taken(evaluators=[line.evaluator.name for line in lines if line.offer(body)])
