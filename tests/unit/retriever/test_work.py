"""What workers have of jobs, each test something that broke a queue of others."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import URL, func, select, update

from bulkhead.auth import Principal, Role
from retriever.database import Database
from retriever.ingest.items import EXTRACTED, End, Item, NewItem
from retriever.ingest.jobs import Jobs
from retriever.ingest.news import LEASE, NO_WORKER, waited_for
from retriever.ingest.work import MOST_ATTEMPTS, SUSPECT, Work
from retriever.state.schema import clock, job_items, workers

ANN = Principal("ann", "acme", frozenset(), Role.WRITER)
BEN = Principal("ben", "umbrella", frozenset(), Role.WRITER)


@pytest.fixture
async def database(state_url: URL) -> AsyncIterator[Database]:
    async with Database.open(state_url) as database:
        yield database


@pytest.fixture
async def jobs(database: Database) -> Jobs:
    return Jobs(database)


def items(*sources: str, kind: str | None = None) -> list[NewItem]:
    return [NewItem(one, None, kind, (), {}, f"upload {one}", "digest") for one in sources]


async def hand_in(jobs: Jobs, *sources: str, by: Principal = ANN) -> str:
    job, _ = await jobs.create(by, items(*sources), None)
    return job.id


async def run_out(database: Database) -> None:
    """Time passes: every lease ends."""
    await database.write(update(job_items).values(leased_until=clock() - LEASE))


def named(taken: list[Item]) -> list[str]:
    return [one.new.source for one in taken]


async def test_workers_that_take_at_once_have_no_document_twice(
    database: Database, jobs: Jobs
) -> None:
    await hand_in(jobs, *(f"s{n}" for n in range(200)))
    taken: list[str] = []

    async def take_all() -> None:
        work = Work(database)
        while found := await work.take(7, 7, {}):
            taken.extend(named(found))

    for _ in range(20):  # what was being taken by another is passed over, and may be left
        await asyncio.gather(*(take_all() for _ in range(6)))
        if len(taken) == 200:
            break
    assert sorted(taken) == sorted(f"s{n}" for n in range(200))


async def test_what_a_dead_worker_had_is_anothers_when_its_lease_is_over_and_not_before(
    database: Database, jobs: Jobs
) -> None:
    await hand_in(jobs, "a", "b")
    dead, other = Work(database), Work(database)
    assert len(await dead.take(2, 2, {})) == 2
    assert await other.take(2, 2, {}) == []
    await run_out(database)
    assert named(await other.take(2, 2, {})) == ["a", "b"]


async def test_a_worker_that_lives_keeps_what_it_has(database: Database, jobs: Jobs) -> None:
    await hand_in(jobs, "a")
    slow, other = Work(database), Work(database)
    (item,) = await slow.take(1, 1, {})
    await run_out(database)
    assert await slow.renew(None) == {(item.job_id, item.n, item.attempt)}
    assert await other.take(1, 1, {}) == []


async def test_who_lost_a_document_notes_nothing_of_it(database: Database, jobs: Jobs) -> None:
    job_id = await hand_in(jobs, "a")
    paused, other = Work(database), Work(database)
    (lost,) = await paused.take(1, 1, {})
    await run_out(database)
    (taken,) = await other.take(1, 1, {})
    assert await paused.renew(None) == set()
    async with database.transaction() as connection:
        assert await paused.record(connection, [(lost, End("failed", message="late"))]) == [False]
    await paused.release(lost)  # nor does it give back what is another's
    async with database.transaction() as connection:
        assert await other.record(connection, [(taken, End("added", "d"))]) == [True]
        assert await other.record(connection, [(taken, End("added", "d"))]) == [False]
    job = await jobs.get(ANN, job_id)
    assert job is not None and (job.state, job.counts["added"]) == ("succeeded", 1)


async def test_a_worker_that_takes_again_what_it_lost_holds_it_by_the_later_lease_alone(
    database: Database, jobs: Jobs
) -> None:
    await hand_in(jobs, "a")
    work = Work(database)
    (first,) = await work.take(1, 1, {})
    await run_out(database)
    (second,) = await work.take(1, 1, {})
    async with database.transaction() as connection:
        assert await work.record(connection, [(first, End("added"))]) == [False]
        assert await work.record(connection, [(second, End("added"))]) == [True]


async def test_what_ends_its_worker_each_time_fails_and_takes_nothing_with_it(
    database: Database, jobs: Jobs
) -> None:
    poison = await hand_in(jobs, "poison", "good")
    for died in range(MOST_ATTEMPTS):
        work = Work(database)
        suspects = died >= SUSPECT
        taken = await work.take(9, 9, {}, suspect=suspects)
        assert "poison" in named(taken)
        if suspects:  # what was only beside it has its turn without it
            assert len(await Work(database).take(9, 9, {})) == 0
        for one in taken:
            if one.new.source == "good" and suspects:
                await work.finish(one, End("added"))
        await run_out(database)  # the worker is gone
    work = Work(database)
    assert await work.take(9, 9, {}) == await work.take(9, 9, {}, suspect=True) == []
    assert await work.give_up() == 1
    job = await jobs.get(ANN, poison)
    assert job is not None
    assert (job.state, job.counts["failed"], job.counts["added"]) == ("partial", 1, 1)


async def test_of_a_source_the_next_waits_whichever_worker_has_the_one_before(
    database: Database, jobs: Jobs
) -> None:
    for _ in range(3):
        await hand_in(jobs, "same")
    await hand_in(jobs, "same", by=BEN)  # of another tenant it is another source
    one, other = Work(database), Work(database)
    first, bens = await one.take(9, 9, {})
    assert (first.principal, bens.principal) == (ANN, BEN)
    assert await other.take(9, 9, {}) == []
    await one.finish(first, End("added"))
    (second,) = await other.take(9, 9, {})
    assert second.job_id != first.job_id
    await other.release(second)
    (again,) = await one.take(9, 9, {})
    assert (again.place, again.attempt) == (second.place, 1)  # given back in order: no try


async def test_a_tenant_with_little_is_not_behind_one_with_much(
    database: Database, jobs: Jobs
) -> None:
    await hand_in(jobs, *(f"a{n}" for n in range(50)))
    await hand_in(jobs, "b0", "b1", by=BEN)
    work = Work(database)
    assert named(await work.take(4, 10, {})) == ["a0", "a1", "b0", "b1"]
    assert await work.take(4, 2, {"acme": 2}) == []  # it has what one tenant may have of it
    assert len(await work.take(4, 3, {"acme": 2})) == 1


async def test_without_a_parser_what_needs_none_goes_on(database: Database, jobs: Jobs) -> None:
    await jobs.create(ANN, [*items("file"), *items("text", kind=EXTRACTED)], None)
    work = Work(database)
    assert named(await work.take(9, 9, {}, parser=False)) == ["text"]
    assert named(await work.take(9, 9, {})) == ["file"]


async def test_an_end_in_order_gives_everything_back_at_once_and_counts_no_try(
    database: Database, jobs: Jobs
) -> None:
    await hand_in(jobs, "a", "b")
    work = Work(database)
    await work.renew(None)
    await work.take(2, 2, {})
    assert await waited_for(database) is None
    await work.leave()
    assert await waited_for(database) == NO_WORKER
    assert [one.attempt for one in await Work(database).take(2, 2, {})] == [1, 1]


async def test_what_was_cancelled_is_no_longer_the_workers(database: Database, jobs: Jobs) -> None:
    job_id = await hand_in(jobs, "a")
    work = Work(database)
    (item,) = await work.take(1, 1, {})
    assert await jobs.cancel(ANN, job_id) == ["upload a"]
    assert await work.renew(None) == set()
    async with database.transaction() as connection:
        assert await work.record(connection, [(item, End("added"))]) == [False]


async def test_a_clock_that_is_an_hour_off_moves_no_lease(
    database: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    for hours in (-1, 1):
        monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)  # noqa: B023
        job_id = await hand_in(jobs, f"s{hours}")
        work = Work(database)
        (item,) = await work.take(1, 1, {})
        await work.renew(None)
        left = await database.row(select(job_items.c.leased_until - clock()))
        assert left is not None and LEASE / 2 < left[0] <= LEASE
        assert await Work(database).take(1, 1, {}) == []
        await work.finish(item, End("added"))
        job = await jobs.get(ANN, job_id)
        assert job is not None and job.created_at <= job.updated_at
        await database.write(update(job_items).values(leased_until=None))
        await database.write(job_items.delete())


async def test_a_worker_that_is_long_gone_is_forgotten(database: Database) -> None:
    work = Work(database)
    await work.renew("a reason")
    assert await waited_for(database) == "a reason"
    await database.write(update(workers).values(seen_at=clock() - LEASE))
    assert await waited_for(database) == NO_WORKER
    await database.write(update(workers).values(seen_at=clock() - 100_000 * LEASE))
    await work.give_up()
    (count,) = (await database.rows(select(func.count()).select_from(workers)))[0]
    assert count == 0


async def test_jobs_that_end_by_several_workers_at_once_come_to_one_end(
    database: Database, jobs: Jobs
) -> None:
    """Two transactions over the documents of two jobs, each the other way round."""
    ids = [await hand_in(jobs, *(f"{job}{n}" for n in range(20))) for job in "xy"]
    one, other = Work(database), Work(database)
    first = await one.take(20, 20, {})
    second = await other.take(20, 20, {})

    async def note(work: Work, taken: list[Item]) -> None:
        for start in range(0, len(taken), 4):
            ends = [(item, End("added")) for item in taken[start : start + 4]]
            async with database.transaction() as connection:
                assert all(await work.record(connection, ends))

    await asyncio.gather(note(one, first), note(other, second[::-1]))
    for job_id in ids:
        job = await jobs.get(ANN, job_id)
        assert job is not None and (job.state, job.counts["added"]) == ("succeeded", 20)
