"""Bulk runs: jobs whose documents come from a corpus, and have a row once they have an outcome.

Any number of processes note outcomes of one run; one of them, its driver, says that it goes on.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Text, any_, exists, literal, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from bulkhead.auth import Principal, Role
from retriever.database import Database
from retriever.ingest.items import CANCELLED, FAILED, End
from retriever.ingest.news import told
from retriever.ingest.progress import FINAL, JobState, fared
from retriever.state.schema import OF_A_RUN, clock, documents, job_items, jobs, runs

KEY_ID = "bulk"
"""In whose name a run's job is: no key's, so that only admins of the tenant see it."""
_NUMBER = text("nextval(pg_get_serial_sequence('job_items', 'position')) % 2147483648")
"""A number that no other document of the run has, without anybody waiting for another."""
_OURS = job_items.c.worker == OF_A_RUN


def principal(tenant: str, groups: Sequence[str]) -> Principal:
    """In whose name documents come in: they take the place of those that these groups may see."""
    return Principal(KEY_ID, tenant, frozenset(groups), Role.WRITER)


class Ended(Exception):
    """The run's job came to its end: it was cancelled, or another run of its source has begun."""


@dataclass(frozen=True, slots=True)
class Place:
    """A document of a source: what it is called there, and where it stands."""

    source: str
    place: str


@dataclass(frozen=True, slots=True)
class Noted:
    """What became of a document of this run before."""

    place: str
    document_id: str | None
    outcome: str


class Runs:
    """The jobs of bulk runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, who: Principal, corpus: str, expected: int | None) -> str:
        """Begin a run over `corpus`; the id of its job. One that was begun before ends."""
        job_id, fingerprint = uuid.uuid4().hex, _fingerprint(corpus)
        async with self._database.transaction() as connection:
            before = await connection.execute(
                update(jobs)
                .where(
                    jobs.c.tenant == who.tenant,
                    jobs.c.key_id == who.key_id,
                    jobs.c.fingerprint == fingerprint,
                    jobs.c.state.not_in(FINAL),
                )
                .values(state=CANCELLED, revision=jobs.c.revision + 1, updated_at=clock())
                .returning(jobs.c.id)
            )
            for row in before.all():
                await connection.execute(told(row.id))
            await connection.execute(
                insert(jobs).values(
                    id=job_id,
                    tenant=who.tenant,
                    key_id=who.key_id,
                    role=who.role,
                    key_groups=sorted(who.groups),
                    state=JobState.RUNNING,
                    started_at=clock(),
                    fingerprint=fingerprint,
                )
            )
            await connection.execute(insert(runs).values(job_id=job_id, expected=expected))
            await connection.execute(told(job_id))
        return job_id

    async def beat(self, job_id: str) -> None:
        """Say that the run goes on. Raises `Ended`, and `Unavailable`."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(runs).where(runs.c.job_id == job_id).values(seen_at=clock())
            )
            going = await connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state == JobState.RUNNING)
                .values(revision=jobs.c.revision + 1, updated_at=clock())
            )
            if not going.rowcount:
                raise Ended
            await connection.execute(told(job_id))

    async def wait(self, job_id: str, reason: str | None) -> None:
        """Note what the run waits for, or that it goes on."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(runs).where(runs.c.job_id == job_id).values(waiting=reason)
            )
            await connection.execute(told(job_id))

    async def noted(
        self, connection: AsyncConnection, job_id: str, sources: Sequence[str]
    ) -> dict[str, list[Noted]]:
        """What became of the run's documents with these sources so far, by source."""
        rows = await connection.execute(
            select(
                job_items.c.source,
                job_items.c.upload,
                job_items.c.document_id,
                job_items.c.outcome,
            ).where(
                _OURS,
                job_items.c.job_id == job_id,
                job_items.c.source == any_(literal(list(sources), ARRAY(Text))),
            )
        )
        found: dict[str, list[Noted]] = {}
        for row in rows:
            one = Noted(row.upload, row.document_id, row.outcome)
            found.setdefault(row.source, []).append(one)
        return found

    async def note(
        self, connection: AsyncConnection, who: Principal, job_id: str, ends: Mapping[Place, End]
    ) -> None:
        """Note outcomes, inside a transaction. Raises `Ended`."""
        rows = [
            {
                "job_id": job_id,
                "tenant": who.tenant,
                "source": at.source,
                "upload": at.place,
                "digest": "",
                "worker": OF_A_RUN,
                **end.columns(),
            }
            for at, end in ends.items()
        ]
        if rows:
            # The rows hold the job's as it is: who cancels it waits, or has done so before.
            await connection.execute(insert(job_items).values(n=_NUMBER, finished_at=clock()), rows)
        state = await connection.scalar(select(jobs.c.state).where(jobs.c.id == job_id))
        if state != JobState.RUNNING:
            raise Ended

    async def note_alone(self, who: Principal, job_id: str, ends: Mapping[Place, End]) -> None:
        """Note outcomes that change nothing in the index, each place's once. Raises `Ended`."""
        async with self._database.transaction() as connection:
            before = await self.noted(connection, job_id, [at.source for at in ends])
            new = {
                at: end
                for at, end in ends.items()
                if all(one.place != at.place for one in before.get(at.source, ()))
            }
            await self.note(connection, who, job_id, new)

    async def finish(self, job_id: str, state: JobState | None = None) -> JobState:
        """End the run: as its documents fared, or in `state`. One that has ended stays as it is."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state == JobState.RUNNING)
                .values(
                    state=state.value if state else fared(),
                    revision=jobs.c.revision + 1,
                    updated_at=clock(),
                )
            )
            await connection.execute(
                update(runs).where(runs.c.job_id == job_id).values(expected=None, waiting=None)
            )
            await connection.execute(told(job_id))
            ended = await connection.scalar(select(jobs.c.state).where(jobs.c.id == job_id))
            return JobState(str(ended))

    async def gone(self, tenant: str, corpus: str, job_id: str) -> list[str]:
        """Ids of live documents that earlier runs over `corpus` took in, and this one did not find.

        A source of which a document failed in this run is no source that went.
        """
        earlier, now = job_items.alias("earlier"), job_items.alias("now")
        rows = await self._database.rows(
            select(documents.c.id).where(
                documents.c.tenant == tenant,
                documents.c.state == literal("live"),
                documents.c.id.in_(
                    select(earlier.c.document_id)
                    .join(jobs, jobs.c.id == earlier.c.job_id)
                    .where(
                        jobs.c.tenant == tenant,
                        jobs.c.key_id == KEY_ID,
                        jobs.c.fingerprint == _fingerprint(corpus),
                        jobs.c.id != job_id,
                        earlier.c.document_id.is_not(None),
                    )
                ),
                ~exists().where(
                    now.c.job_id == job_id,
                    now.c.worker == OF_A_RUN,
                    now.c.source == documents.c.source,
                    (now.c.document_id == documents.c.id) | (now.c.outcome == FAILED),
                ),
            )
        )
        return [row.id for row in rows]


def _fingerprint(corpus: str) -> str:
    return json.dumps(["bulk", corpus])
