"""`/v1/jobs`: how ingestions go, and their end before their time."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from bulkhead.auth import Principal
from bulkhead.errors import InvalidValue, NotFound
from retriever import parsed
from retriever.api.deps import Reader, StackDep, Writer
from retriever.index import model
from retriever.ingest import items, jobs, progress
from retriever.stack import Stack

router = APIRouter(tags=["jobs"])

_HEARTBEAT_SECONDS = 10.0


class Counts(BaseModel):
    """Documents by what became of them, and the chunks written so far."""

    total: int
    added: int
    replaced: int
    unchanged: int
    failed: int
    cancelled: int
    pending: int
    warned: int
    chunks: int


class DocumentError(BaseModel):
    """A document that did not go in, and why."""

    source: str
    message: str


class Warned(BaseModel):
    """What was lost or guessed in reading a document."""

    code: str = Field(description="One of the codes in docs/operations.md.")
    message: str
    pages: list[int] = Field(description="The pages that it is about, from 1; empty: all of it.")


class DocumentWarning(Warned):
    """A warning of a job, and the document that it is about."""

    source: str
    document_id: str | None


class Former(BaseModel):
    """A document that another took the place of; it is gone."""

    id: str
    title: str
    created_at: str


class Replacement(BaseModel):
    """A document that took the place of others with its source."""

    source: str
    document_id: str
    former: list[Former]


class Result(BaseModel):
    """What became of a document."""

    source: str
    outcome: Literal["added", "replaced", "unchanged", "failed", "cancelled"]
    document_id: str | None
    message: str | None = Field(description="Why it did not go in.")
    warnings: list[Warned]
    replaced: list[Former] = Field(description="The documents that it took the place of.")


class JobSummary(BaseModel):
    """An ingestion. `partial`: some documents went in and some failed."""

    id: str
    object: Literal["job"] = "job"
    state: progress.JobState = Field(description="Final: succeeded, partial, failed, cancelled.")
    counts: Counts
    rate: float | None = Field(
        description="Documents a second: of the last minute while it runs, of the whole job "
        "afterwards; null when unknown."
    )
    waiting: str | None = Field(
        description="What its documents wait for, such as room on the index's disk; null while "
        "they go on."
    )
    eta_seconds: float | None = Field(
        description="Seconds to its end at that rate; null when unknown."
    )
    created_at: str
    updated_at: str


class Job(JobSummary):
    """A job with what went wrong in it, what was warned of and what was replaced.

    Of each the first 100 documents are shown; `GET /v1/jobs/{id}/documents` has all.
    """

    errors: list[DocumentError] = Field(description="Documents that did not go in.")
    warnings: list[DocumentWarning] = Field(
        description="What was lost or guessed in reading documents that went in."
    )
    replaced: list[Replacement] = Field(
        description="Documents that took the place of others with the same source."
    )


class JobPage(BaseModel):
    """A page of jobs, newest first."""

    object: Literal["list"] = "list"
    data: list[JobSummary]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page.")


class ErrorPage(BaseModel):
    """A page of the documents that did not go in, in the order in which they were handed in."""

    object: Literal["list"] = "list"
    data: list[DocumentError]
    next_cursor: int | None = Field(description="Give it as `cursor` for the next page.")


class ResultPage(BaseModel):
    """A page of documents that have an outcome, in the order in which they were handed in."""

    object: Literal["list"] = "list"
    data: list[Result]
    next_cursor: int | None = Field(description="Give it as `cursor` for the next page.")


async def shown(found: progress.Job, principal: Principal, stack: Stack) -> Job:
    """The job as callers see it, its errors, warnings and replacements included."""

    async def first(only: jobs.Only) -> list[items.Result]:
        if not found.counts[only]:
            return []
        page = await stack.jobs.results(principal, found.id, only, jobs.MOST_SHOWN)
        return page[0] if page else []

    summary = JobSummary.model_validate(found, from_attributes=True)
    return Job(
        **dict(summary),
        errors=[_error(one) for one in await first(jobs.Only.FAILED)],
        warnings=[
            DocumentWarning(
                source=one.source, document_id=one.document_id, **_warned(warning).model_dump()
            )
            for one in await first(jobs.Only.WARNED)
            for warning in one.warnings
        ],
        replaced=[
            Replacement(
                source=one.source,
                document_id=one.document_id or "",
                former=[_former(each) for each in one.replaced],
            )
            for one in await first(jobs.Only.REPLACED)
        ],
    )


def _error(result: items.Result) -> DocumentError:
    return DocumentError(source=result.source, message=result.message or "")


def _warned(warning: parsed.Warned) -> Warned:
    return Warned.model_validate(warning, from_attributes=True)


def _former(former: model.Former) -> Former:
    return Former.model_validate(former, from_attributes=True)


@router.get("/v1/jobs", name="job.list", summary="List the jobs")
async def list_jobs(
    principal: Reader,
    stack: StackDep,
    state: Annotated[progress.JobState | None, Query(description="Only these.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> JobPage:
    """The caller's own jobs, an admin's whole tenant's, newest first, a page at a time."""
    found, following = await stack.jobs.page(principal, state, limit, cursor)
    data = [JobSummary.model_validate(one, from_attributes=True) for one in found]
    return JobPage(data=data, next_cursor=following)


@router.get("/v1/jobs/{job_id}", name="job.read", summary="See how a job goes")
async def job(job_id: str, principal: Reader, stack: StackDep) -> Job:
    """The job as it stands."""
    found = await stack.jobs.get(principal, job_id)
    if found is None:
        raise NotFound("there is no such job")
    return await shown(found, principal, stack)


@router.get("/v1/jobs/{job_id}/errors", name="job.errors", summary="See what went wrong in a job")
async def job_errors(
    job_id: str,
    principal: Reader,
    stack: StackDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> ErrorPage:
    """The documents that did not go in, each with its reason, a page at a time."""
    found = await stack.jobs.results(principal, job_id, jobs.Only.FAILED, limit, cursor)
    if found is None:
        raise NotFound("there is no such job")
    return ErrorPage(data=[_error(one) for one in found[0]], next_cursor=found[1])


@router.get(
    "/v1/jobs/{job_id}/documents",
    name="job.documents",
    summary="See what became of a job's documents",
)
async def job_documents(
    job_id: str,
    principal: Reader,
    stack: StackDep,
    only: Annotated[jobs.Only | None, Query(description="Only these.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> ResultPage:
    """The documents that have an outcome: warnings, errors and what each replaced, by page."""
    found = await stack.jobs.results(principal, job_id, only, limit, cursor)
    if found is None:
        raise NotFound("there is no such job")
    data = [Result.model_validate(one, from_attributes=True) for one in found[0]]
    return ResultPage(data=data, next_cursor=found[1])


@router.post("/v1/jobs/{job_id}/cancel", name="job.cancel", summary="Cancel a job")
async def cancel_job(job_id: str, principal: Writer, stack: StackDep) -> Job:
    """End a job: what is in stays in, the rest is dropped. Again is no error."""
    if not await stack.cancel_job(principal, job_id):
        raise NotFound("there is no such job")
    return await job(job_id, principal, stack)


@router.get(
    "/v1/jobs/{job_id}/events",
    name="job.follow",
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
            data = (await shown(change, principal, stack)).model_dump_json()
            yield format_sse_event(event="job", data_str=data, id=str(change.revision))

    return StreamingResponse(
        events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
    )
