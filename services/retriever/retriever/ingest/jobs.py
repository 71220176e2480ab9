"""Ingestion jobs: accepted at once, kept until every document of them has its outcome."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum

from sqlalchemy import Integer, cast, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from bulkhead.auth import Principal
from bulkhead.errors import Conflict
from retriever.database import Database
from retriever.index.access import visible_jobs
from retriever.ingest.items import CANCELLED, FAILED, NewItem, Result, result
from retriever.ingest.news import told
from retriever.ingest.progress import FINAL, Job, JobState, described
from retriever.state.schema import clock, job_items, jobs
from retriever.state.values import beyond, cursor_of

MOST_SHOWN = 100
"""Documents of each kind that a job itself shows; `Jobs.results` has all, page by page."""
_QUICKEST_SECONDS = 0.1
"""Least time between two events of a job: a thousand documents are not a thousand events."""
_POLL_SECONDS = 1.0
"""How often a job that is watched is looked at where no news of it comes."""


class Only(StrEnum):
    """Which of a job's documents are asked for."""

    FAILED = "failed"
    WARNED = "warned"
    REPLACED = "replaced"


_CONDITIONS = {
    None: job_items.c.outcome.is_not(None),
    Only.FAILED: job_items.c.outcome == FAILED,
    Only.WARNED: job_items.c.warned > 0,
    Only.REPLACED: job_items.c.outcome == "replaced",
}


class Jobs:
    """The jobs' store, and the notice of their changes to whoever waits in this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers = asyncio.Condition()
        self._news = asyncio.Event()

    async def create(
        self, principal: Principal, items: Sequence[NewItem], idempotency_key: str | None
    ) -> tuple[Job, bool]:
        """Note a job, and whether it is new: the same idempotency key brings the first job back.

        The principal's rights are noted with it: they hold for the job, whatever becomes of the
        key. Raises `Conflict` when the idempotency key came before with other documents.
        """
        job_id = uuid.uuid4().hex
        fingerprint = json.dumps(
            [[i.source, i.title, i.media_type, i.groups, i.metadata, i.digest] for i in items]
        )
        async with self._database.transaction() as connection:
            made = await connection.scalar(
                insert(jobs)
                .values(
                    id=job_id,
                    tenant=principal.tenant,
                    key_id=principal.key_id,
                    role=principal.role,
                    key_groups=sorted(principal.groups),
                    idempotency_key=idempotency_key,
                    fingerprint=fingerprint,
                )
                .on_conflict_do_nothing(
                    index_elements=[jobs.c.tenant, jobs.c.key_id, jobs.c.idempotency_key]
                )
                .returning(jobs.c.id)
            )
            if made is not None:
                await connection.execute(
                    insert(job_items),
                    [
                        {"job_id": job_id, "n": n, "tenant": principal.tenant, **item.columns()}
                        for n, item in enumerate(items)
                    ],
                )
                await connection.execute(told(job_id))
        if made is None:
            return await self._repeated(principal, idempotency_key, fingerprint), False
        return await self._own(principal, job_id), True

    async def _repeated(
        self, principal: Principal, idempotency_key: str | None, fingerprint: str
    ) -> Job:
        row = await self._database.row(
            select(jobs.c.id, jobs.c.fingerprint).where(
                jobs.c.tenant == principal.tenant,
                jobs.c.key_id == principal.key_id,
                jobs.c.idempotency_key == idempotency_key,
            )
        )
        if row is None or row.fingerprint != fingerprint:
            raise Conflict("this Idempotency-Key came before with other documents")
        return await self._own(principal, row.id)

    async def _own(self, principal: Principal, job_id: str) -> Job:
        job = await self.get(principal, job_id)
        assert job is not None
        return job

    async def get(self, principal: Principal, job_id: str) -> Job | None:
        """The job as it stands, or none when it is not there for this principal."""
        rows = await self._database.rows(
            select(jobs).where(visible_jobs(principal), jobs.c.id == job_id)
        )
        return next(iter(await described(self._database, rows)), None)

    async def page(
        self, principal: Principal, state: JobState | None, limit: int, cursor: str | None
    ) -> tuple[list[Job], str | None]:
        """Up to `limit` jobs, newest first, after `cursor`; and the next cursor, if any."""
        statement = select(jobs).where(visible_jobs(principal))
        if state is not None:
            statement = statement.where(jobs.c.state == state)
        if cursor:
            statement = statement.where(beyond(jobs, cursor, newest_first=True))
        rows = await self._database.rows(
            statement.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit + 1)
        )
        found = await described(self._database, rows[:limit])
        more = len(rows) > limit
        return found, cursor_of(found[-1].created_at, found[-1].id) if more else None

    async def results(
        self, principal: Principal, job_id: str, only: Only | None, limit: int, cursor: int = 0
    ) -> tuple[list[Result], int | None] | None:
        """Up to `limit` documents that have an outcome, from the one numbered `cursor` on.

        With them the number to go on from, if there are more; none at all when the job is not there
        for this principal.
        """
        if not await self._database.row(
            select(jobs.c.id).where(visible_jobs(principal), jobs.c.id == job_id)
        ):
            return None
        rows = await self._database.rows(
            select(job_items)
            .where(job_items.c.job_id == job_id, _CONDITIONS[only])
            .where(job_items.c.n >= cast(literal(cursor), Integer))
            .order_by(job_items.c.n)
            .limit(limit + 1)
        )
        found = [result(row) for row in rows[:limit]]
        return found, rows[limit].n if len(rows) > limit else None

    async def watch(
        self, principal: Principal, job_id: str, after: int, heartbeat: float
    ) -> AsyncIterator[Job | None]:
        """The job whenever its revision has passed `after`, up to its final state.

        Yields none after `heartbeat` seconds without a change. Changes that come faster than they
        are read, or than `_QUICKEST_SECONDS`, are seen as one.
        """
        said: str | None = None
        quiet = 0.0
        while True:
            async with self._watchers:  # held while looking, so that no change slips in between
                job = await self.get(principal, job_id)
                if job is not None and not _is_new(job, after, said) and job.state not in FINAL:
                    wait = min(_POLL_SECONDS, heartbeat)
                    try:
                        async with asyncio.timeout(wait):
                            await self._watchers.wait()
                        continue
                    except TimeoutError:
                        quiet += wait
                        if quiet < heartbeat:
                            continue
                        job = None
                        quiet_over = True
                else:
                    quiet_over = False
            quiet = 0.0
            if quiet_over:
                yield None
                continue
            if job is not None and _is_new(job, after, said):
                after, said = job.revision, job.waiting
                yield job
            if job is None or job.state in FINAL:
                return
            await asyncio.sleep(_QUICKEST_SECONDS)

    async def cancel(self, principal: Principal, job_id: str) -> list[str] | None:
        """End a job: what is in stays in, the rest is `cancelled`; the names of its uploads.

        A job that was cancelled before stays as it is. None when the job is not there for this
        principal; raises `Conflict` when it had come to its end.
        """
        async with self._database.transaction() as connection:
            state = await connection.scalar(
                select(jobs.c.state)
                .where(visible_jobs(principal), jobs.c.id == job_id)
                .with_for_update()
            )
            if state is None:
                return None
            if state in FINAL - {JobState.CANCELLED}:
                raise Conflict(f"the job has ended ({state}): nothing is left to cancel")
            called_off = await connection.execute(
                update(job_items)
                .where(job_items.c.job_id == job_id, job_items.c.outcome.is_(None))
                .values(outcome=CANCELLED, finished_at=clock())
                .returning(job_items.c.upload, job_items.c.n)
            )
            uploads = [row.upload for row in sorted(called_off, key=lambda row: row.n)]
            if state != JobState.CANCELLED:
                await connection.execute(
                    update(jobs)
                    .where(jobs.c.id == job_id)
                    .values(state=CANCELLED, revision=jobs.c.revision + 1, updated_at=clock())
                )
                await connection.execute(told(job_id))
        await self.notify()
        return uploads

    async def notify(self) -> None:
        """Tell whoever watches in this process that something was recorded."""
        async with self._watchers:
            self._watchers.notify_all()

    def changed(self) -> None:
        """There is news of a job; `tell` passes it on."""
        self._news.set()

    async def tell(self) -> None:
        """Pass news on to whoever watches, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.notify()


def _is_new(job: Job, after: int, said: str | None) -> bool:
    """Whether it went on, or waits for something else than was told."""
    return job.revision > after or (job.waiting != said and job.state not in FINAL)
