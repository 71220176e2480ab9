"""`GET /v1/jobs/{id}` and its events: how an ingestion goes."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from bulkhead.errors import InvalidValue, NotFound
from retriever.api.deps import Reader, StackDep
from retriever.ingest import jobs

router = APIRouter(tags=["jobs"])

_HEARTBEAT_SECONDS = 10.0


class Counts(BaseModel):
    """Documents by what became of them, and the chunks written so far."""

    total: int
    added: int
    replaced: int
    unchanged: int
    failed: int
    pending: int
    chunks: int


class DocumentError(BaseModel):
    """A document that did not go in, and why."""

    source: str
    message: str


class Job(BaseModel):
    """An ingestion. `partial`: some documents went in and some failed."""

    id: str
    object: Literal["job"] = "job"
    state: jobs.JobState = Field(description="Final: succeeded, partial, failed.")
    counts: Counts
    errors: list[DocumentError]
    created_at: str
    updated_at: str


@router.get("/v1/jobs/{job_id}", summary="See how a job goes")
async def job(job_id: str, principal: Reader, stack: StackDep) -> Job:
    """The job as it stands."""
    found = await stack.jobs.get(principal, job_id)
    if found is None:
        raise NotFound("there is no such job")
    return Job.model_validate(found, from_attributes=True)


@router.get(
    "/v1/jobs/{job_id}/events",
    summary="Follow a job",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "The job, as it goes"}},
)
async def job_events(
    job_id: str,
    principal: Reader,
    stack: StackDep,
    last_event_id: Annotated[str, Header(description="Resume after this event.")] = "0",
) -> StreamingResponse:
    """Server-sent events `job`, each with the whole job, up to its final state."""
    if not last_event_id.isdecimal() or len(last_event_id) > 18:
        raise InvalidValue("Last-Event-ID: use the id of an event of this job")
    if await stack.jobs.get(principal, job_id) is None:
        raise NotFound("there is no such job")
    changes = stack.jobs.watch(principal, job_id, int(last_event_id), _HEARTBEAT_SECONDS)

    async def events() -> AsyncIterator[bytes]:
        async for change in changes:
            if change is None:
                yield KEEPALIVE_COMMENT
                continue
            data = Job.model_validate(change, from_attributes=True).model_dump_json()
            yield format_sse_event(event="job", data_str=data, id=str(change.revision))

    return StreamingResponse(
        events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
    )
