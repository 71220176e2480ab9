"""The jobs' store: whose they are, how they end, and what is told of them."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import URL

from bulkhead.auth import Principal, Role
from bulkhead.errors import Conflict
from retriever.database import Database
from retriever.ingest.items import End, Item, NewItem
from retriever.ingest.jobs import Jobs, Only
from retriever.ingest.progress import Job, JobState
from retriever.ingest.work import Work

ADMIN = Principal("admin", "acme", frozenset(), Role.ADMIN)
ANN = Principal("ann", "acme", frozenset({"red"}), Role.WRITER)
BEN = Principal("ben", "acme", frozenset({"red"}), Role.WRITER)
STRANGER = Principal("stranger", "umbrella", frozenset(), Role.ADMIN)


@pytest.fixture
async def database(state_url: URL) -> AsyncIterator[Database]:
    async with Database.open(state_url) as database:
        yield database


@pytest.fixture
async def jobs(database: Database) -> Jobs:
    return Jobs(database)


@pytest.fixture
async def work(database: Database) -> Work:
    return Work(database)


def items(count: int) -> list[NewItem]:
    return [NewItem(f"s{n}", None, None, (), {}, f"spool{n}", "digest") for n in range(count)]


async def created(jobs: Jobs, count: int, principal: Principal = ANN) -> Job:
    job, new = await jobs.create(principal, items(count), None)
    assert new
    return job


async def taken(work: Work, count: int) -> list[Item]:
    found = await work.take(count, count, {})
    assert len(found) == count
    return found


async def seen(jobs: Jobs, job: Job, principal: Principal = ANN) -> Job:
    found = await jobs.get(principal, job.id)
    assert found is not None
    return found


async def test_a_job_is_seen_by_the_key_that_made_it_and_by_admins_of_its_tenant(
    jobs: Jobs,
) -> None:
    job = await created(jobs, 1)
    for principal, there in ((ANN, True), (ADMIN, True), (BEN, False), (STRANGER, False)):
        assert (await jobs.get(principal, job.id) is not None) is there
        assert (await jobs.results(principal, job.id, None, 10) is not None) is there
        listed, _ = await jobs.page(principal, None, 10, None)
        assert [one.id for one in listed] == ([job.id] if there else [])
    assert await jobs.cancel(BEN, job.id) is None
    assert await jobs.cancel(STRANGER, job.id) is None
    assert (await seen(jobs, job)).state is JobState.QUEUED


async def test_an_idempotency_key_is_its_owners_alone(jobs: Jobs) -> None:
    first, _ = await jobs.create(ANN, items(1), "k")
    again, new = await jobs.create(ANN, items(1), "k")
    assert (again.id, new) == (first.id, False)
    bens, new = await jobs.create(BEN, items(1), "k")
    assert bens.id != first.id and new


async def test_a_waiting_document_carries_the_rights_of_who_handed_it_in(
    jobs: Jobs, work: Work
) -> None:
    await created(jobs, 1)
    (item,) = await taken(work, 1)
    assert item.principal == ANN


async def test_cancelling_keeps_what_is_in_and_frees_the_rest(jobs: Jobs, work: Work) -> None:
    job = await created(jobs, 3)
    first, second, third = await taken(work, 3)
    await work.finish(first, End("added"))
    assert await jobs.cancel(ANN, job.id) == [second.new.upload, third.new.upload]
    cancelled = await seen(jobs, job)
    assert (cancelled.state, cancelled.eta_seconds) == (JobState.CANCELLED, 0.0)
    counts = {name: n for name, n in cancelled.counts.items() if n}
    assert counts == {"total": 3, "added": 1, "cancelled": 2}
    assert await jobs.cancel(ANN, job.id) == []  # again changes nothing
    await work.finish(second, End("added"))  # nor does a document that was on its way
    assert await seen(jobs, job) == cancelled
    assert await work.take(9, 9, {}) == []
    assert await work.renew(None) == set()


@pytest.mark.parametrize("outcome", ["added", "failed"])
async def test_a_job_that_has_ended_cannot_be_cancelled(
    jobs: Jobs, work: Work, outcome: str
) -> None:
    job = await created(jobs, 1)
    (item,) = await taken(work, 1)
    await work.finish(item, End(outcome))
    with pytest.raises(Conflict):
        await jobs.cancel(ANN, job.id)


async def test_rate_and_estimate_are_told_once_they_are_known(jobs: Jobs, work: Work) -> None:
    job = await created(jobs, 4)
    assert (job.rate, job.eta_seconds) == (None, None)
    waiting = await taken(work, 4)
    assert (await seen(jobs, job)).rate is None
    for item in waiting[:2]:
        await work.finish(item, End("added"))
    running = await seen(jobs, job)
    assert running.state is JobState.RUNNING
    assert running.rate is not None and running.rate > 0
    assert running.eta_seconds is not None
    for item in waiting[2:]:
        await work.finish(item, End("added"))
    ended = await seen(jobs, job)
    assert ended.rate is not None and ended.eta_seconds == 0.0


async def test_a_thousand_errors_are_shown_a_page_at_a_time(
    database: Database, jobs: Jobs, work: Work
) -> None:
    job = await created(jobs, 1000)
    waiting = await taken(work, 1000)
    async with database.transaction() as connection:
        await work.record(connection, [(one, End("failed", message="why")) for one in waiting])
    assert (await seen(jobs, job)).counts["failed"] == 1000
    sources: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        page = await jobs.results(ANN, job.id, Only.FAILED, 300, cursor)
        assert page is not None
        problems, cursor = page
        sources += [problem.source for problem in problems]
    assert sources == [f"s{n}" for n in range(1000)]


async def test_jobs_are_listed_newest_first_and_by_state(jobs: Jobs) -> None:
    made = [(await created(jobs, 1)).id for _ in range(5)]
    await jobs.cancel(ANN, made[2])
    first, cursor = await jobs.page(ANN, None, 3, None)
    second, end = await jobs.page(ANN, None, 3, cursor)
    assert [job.id for job in (*first, *second)] == made[::-1]
    assert end is None
    cancelled, _ = await jobs.page(ANN, JobState.CANCELLED, 3, None)
    assert [job.id for job in cancelled] == [made[2]]
