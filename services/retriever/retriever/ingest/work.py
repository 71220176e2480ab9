"""What a worker has of the jobs: leases of documents, by the database's clock, and their outcomes.

A document is one worker's until its lease runs out. Its outcome is noted only while the worker
still has it, in the transaction that makes the document live: who lost it writes nothing.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    Interval,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from retriever.database import Database
from retriever.ingest import measures
from retriever.ingest.items import EXTRACTED, FAILED, End, Item, item
from retriever.ingest.news import LEASE, told
from retriever.ingest.progress import JobState, fared
from retriever.state.schema import clock, job_items, jobs, workers

SUSPECT = 3
"""Tries that did not end after which a document is taken alone: it may be what ended them."""
MOST_ATTEMPTS = 5
"""Tries of one that each ended its worker, or lost it, after which it is given up."""
_FORGOTTEN = timedelta(days=1)

_TAKE = text("""
WITH RECURSIVE tenants (tenant) AS (
    (SELECT tenant FROM job_items WHERE outcome IS NULL ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (
        SELECT later.tenant FROM job_items later
        WHERE later.outcome IS NULL AND later.tenant > tenants.tenant
        ORDER BY later.tenant LIMIT 1
    ) FROM tenants WHERE tenants.tenant IS NOT NULL
), firsts AS (
    SELECT first.*, row_number() OVER (PARTITION BY first.tenant ORDER BY first.position) AS turn
    FROM tenants CROSS JOIN LATERAL (
        SELECT one.job_id, one.n, one.tenant, one.position FROM job_items one
        WHERE one.outcome IS NULL AND one.tenant = tenants.tenant
          AND (one.leased_until IS NULL OR one.leased_until < clock_timestamp())
          AND one.attempts >= :least AND one.attempts < :most
          AND (:parser OR one.media_type = :extracted)
          AND NOT EXISTS (
              SELECT 1 FROM job_items before
              WHERE before.outcome IS NULL AND before.source = one.source
                AND before.tenant = one.tenant AND before.position < one.position
          )
        ORDER BY one.position
        LIMIT least(
            :wanted,
            greatest(0, :of_a_tenant - coalesce((CAST(:held AS json) ->> tenants.tenant)::int, 0))
        )
        FOR UPDATE SKIP LOCKED
    ) first WHERE tenants.tenant IS NOT NULL
), chosen AS (
    SELECT job_id, n FROM firsts ORDER BY turn, position LIMIT :wanted
)
UPDATE job_items SET
    worker = :worker, leased_until = clock_timestamp() + :lease, attempts = attempts + 1
FROM chosen JOIN jobs ON jobs.id = chosen.job_id
WHERE job_items.job_id = chosen.job_id AND job_items.n = chosen.n
RETURNING job_items.*, jobs.key_id, jobs.role, jobs.key_groups
""")
"""Of each tenant its first documents that wait, in turn. Of a source only the one that came first:
of two with the same, the later one must stay. What others are just taking is passed over."""


class Work:
    """The documents that this worker has, as the database knows them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.worker = uuid.uuid4().hex

    async def take(
        self,
        wanted: int,
        of_a_tenant: int,
        held: Mapping[str, int],
        *,
        parser: bool = True,
        suspect: bool = False,
    ) -> list[Item]:
        """Up to `wanted` documents that wait, with a lease; of one tenant `of_a_tenant` at most.

        `held` counts those of each tenant that the worker has. Without `parser` only what needs
        none. `suspect`: those that did not end several times, instead of the others.
        """
        least, most = (SUSPECT, MOST_ATTEMPTS) if suspect else (0, SUSPECT)
        rows = await self._database.write(
            _TAKE.bindparams(
                bindparam("least", least, Integer),
                bindparam("most", most, Integer),
                bindparam("parser", parser, Boolean),
                bindparam("extracted", EXTRACTED, Text),
                bindparam("wanted", wanted, Integer),
                bindparam("of_a_tenant", of_a_tenant, Integer),
                bindparam("held", json.dumps(dict(held)), Text),
                bindparam("worker", self.worker, Text),
                bindparam("lease", LEASE, Interval),
            )
        )
        taken = [item(row) for row in sorted(rows, key=lambda row: row.position)]
        if taken:
            await self._begin({one.job_id for one in taken})
        return taken

    async def take_over(self) -> None:
        """Take from every other worker what it has: for one that knows that none of them lives."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(job_items)
                .where(job_items.c.worker != self.worker, job_items.c.outcome.is_(None))
                .values(worker=None, leased_until=None)
            )
            await connection.execute(delete(workers).where(workers.c.id != self.worker))

    async def _begin(self, job_ids: set[str]) -> None:
        """Note that the first of a job's documents is taken up."""
        begun = (
            update(jobs)
            .where(jobs.c.id.in_(job_ids), jobs.c.state == JobState.QUEUED)
            .values(state=JobState.RUNNING, started_at=clock(), revision=jobs.c.revision + 1)
            .returning(jobs.c.id)
        )
        async with self._database.transaction() as connection:
            for row in (await connection.execute(begun)).all():
                await connection.execute(told(row.id))

    async def renew(self, waiting: str | None) -> set[tuple[str, int, int]]:
        """Say that the worker lives and what it waits for; which documents it still has.

        Each as its job, its number and the attempt: the others were cancelled, or are another's.
        """
        alive = insert(workers).values(id=self.worker, waiting=waiting)
        alive = alive.on_conflict_do_update(
            index_elements=[workers.c.id], set_={"seen_at": clock(), "waiting": waiting}
        )
        async with self._database.transaction() as connection:
            await connection.execute(alive)
            kept = await connection.execute(
                update(job_items)
                .where(job_items.c.worker == self.worker, job_items.c.outcome.is_(None))
                .values(leased_until=clock() + LEASE)
                .returning(job_items.c.job_id, job_items.c.n, job_items.c.attempts)
            )
            return {(row.job_id, row.n, row.attempts) for row in kept}

    async def waiting(self) -> int:
        """How many documents wait or are in work, of all jobs."""
        row = await self._database.row(
            select(func.count()).select_from(job_items).where(job_items.c.outcome.is_(None))
        )
        return int(row[0]) if row else 0

    async def hold(self, waiting: str | None) -> None:
        """Say what the worker waits for, and tell whoever watches jobs."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(workers).where(workers.c.id == self.worker).values(waiting=waiting)
            )
            await connection.execute(told())

    async def release(self, item: Item, *, counted: bool = False) -> None:
        """Give a document back at once, for whoever takes it next.

        `counted`: the attempt counts, for it may be the document's fault that it came to nothing.
        """
        await self._database.write(
            update(job_items)
            .where(self._has(item))
            .values(worker=None, leased_until=None, attempts=item.attempt - (not counted))
        )

    async def leave(self) -> None:
        """Give every document back, and be no worker any more."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(job_items)
                .where(job_items.c.worker == self.worker, job_items.c.outcome.is_(None))
                .values(worker=None, leased_until=None, attempts=job_items.c.attempts - 1)
            )
            await connection.execute(delete(workers).where(workers.c.id == self.worker))
            await connection.execute(told())

    async def give_up(self) -> int:
        """Fail what ended its worker each time it was taken; how many there were.

        And forget workers that are long gone.
        """
        lost = and_(
            job_items.c.outcome.is_(None),
            job_items.c.attempts >= MOST_ATTEMPTS,
            job_items.c.leased_until < clock(),
        )
        rows = await self._database.rows(
            select(job_items.c.job_id).where(lost).distinct().limit(100)
        )
        given_up = 0
        for row in rows:
            async with self._database.transaction() as connection:
                await _lock_jobs(connection, [row.job_id])
                end = End(FAILED, message="What reads it ended each time it was read.")
                failed = await connection.execute(
                    update(job_items)
                    .where(job_items.c.job_id == row.job_id, lost)
                    .values(**end.columns(), finished_at=clock())
                )
                given_up += failed.rowcount
                await _settle(connection, [row.job_id])
        await self._database.write(delete(workers).where(workers.c.seen_at < clock() - _FORGOTTEN))
        for _ in range(given_up):
            measures.settled(FAILED)
        return given_up

    async def record(
        self, connection: AsyncConnection, ends: Sequence[tuple[Item, End]]
    ) -> list[bool]:
        """Note, inside a transaction, what documents came to; with its last one a job is final.

        Gives whether each was noted: not one that is no longer this worker's, or was cancelled.
        """
        job_ids = sorted({item.job_id for item, _ in ends})
        await _lock_jobs(connection, job_ids)
        places = [(item.job_id, item.n, item.attempt) for item, _ in ends]
        held = await connection.execute(
            select(job_items.c.job_id, job_items.c.n)
            .where(job_items.c.worker == self.worker, job_items.c.outcome.is_(None))
            .where(tuple_(job_items.c.job_id, job_items.c.n, job_items.c.attempts).in_(places))
            .with_for_update()
        )
        ours = {(row.job_id, row.n) for row in held}
        noted = [
            {"of_job": item.job_id, "of_n": item.n, **end.columns()}
            for item, end in ends
            if item.place in ours
        ]
        if noted:
            await connection.execute(
                update(job_items)
                .where(
                    job_items.c.job_id == bindparam("of_job"), job_items.c.n == bindparam("of_n")
                )
                .values(finished_at=clock()),
                noted,
            )
            await _settle(connection, sorted({one["of_job"] for one in noted}))
        return [item.place in ours for item, _ in ends]

    async def finish(self, item: Item, end: End) -> None:
        """Note the outcome of a document that changes nothing in the index."""
        async with self._database.transaction() as connection:
            (noted,) = await self.record(connection, [(item, end)])
        if noted:
            measures.settled(end.outcome)

    def _has(self, item: Item) -> ColumnElement[bool]:
        return and_(
            job_items.c.job_id == item.job_id,
            job_items.c.n == item.n,
            job_items.c.worker == self.worker,
            job_items.c.attempts == item.attempt,
            job_items.c.outcome.is_(None),
        )


async def _lock_jobs(connection: AsyncConnection, job_ids: Sequence[str]) -> None:
    """Before their documents, and in order: who cancels a job does so too."""
    await connection.execute(
        select(jobs.c.id).where(jobs.c.id.in_(job_ids)).order_by(jobs.c.id).with_for_update()
    )


async def _settle(connection: AsyncConnection, job_ids: Sequence[str]) -> None:
    """Count a change of each job, and see whether it is at its end."""
    waits = exists().where(job_items.c.job_id == jobs.c.id, job_items.c.outcome.is_(None))
    await connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(job_ids))
        .values(
            revision=jobs.c.revision + 1,
            updated_at=clock(),
            started_at=func.coalesce(jobs.c.started_at, clock()),
            state=case((waits, JobState.RUNNING.value), else_=fared()),
        )
    )
    for job_id in job_ids:
        await connection.execute(told(job_id))
