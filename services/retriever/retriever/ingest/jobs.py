"""Ingestion jobs: accepted at once, kept in SQLite until every document of them has its outcome."""

import asyncio
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import aiosqlite

from bulkhead.auth import Principal, Role
from bulkhead.errors import Conflict, InvalidValue
from retriever.database import Database
from retriever.index.access import visible_jobs
from retriever.index.documents import warned
from retriever.index.model import Former
from retriever.ingest import measures
from retriever.ingest.progress import FINAL, Job, JobState, Result, described, now
from retriever.parsed import Warned

CANCELLED = "cancelled"
FAILED = "failed"
MOST_SHOWN = 100
"""Documents of each kind that a job itself shows; `Jobs.results` has all, page by page."""
_QUICKEST_SECONDS = 0.1
"""Least time between two events of a job: a thousand documents are not a thousand events."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """A document as it was handed in; `spool` names its bytes in the spool."""

    source: str
    title: str | None
    media_type: str | None
    groups: tuple[str, ...]
    metadata: dict[str, Any]
    spool: str
    digest: str


@dataclass(frozen=True, slots=True)
class Item:
    """A document of a job that waits to be taken in, and in whose name."""

    job_id: str
    n: int
    principal: Principal
    new: NewItem

    @property
    def key(self) -> tuple[str, str]:
        """Tenant and source: of two documents with the same, the later one must stay."""
        return self.principal.tenant, self.new.source


@dataclass(frozen=True, slots=True)
class End:
    """What a document came to."""

    outcome: str
    document_id: str | None = None
    chunks: int = 0
    message: str | None = None
    warnings: tuple[Warned, ...] = ()
    replaced: tuple[Former, ...] = ()


class Only(StrEnum):
    """Which of a job's documents are asked for."""

    FAILED = "failed"
    WARNED = "warned"
    REPLACED = "replaced"


_CONDITIONS = {
    None: "outcome IS NOT NULL",
    Only.FAILED: "outcome = 'failed'",
    Only.WARNED: "warnings != '[]'",
    Only.REPLACED: "replaced != '[]'",
}


class Jobs:
    """The jobs' store, and the notice of their changes to whoever waits in this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = asyncio.Condition()
        self._held: dict[object, str] = {}

    @property
    def held(self) -> str | None:
        """What documents wait for before they can go on, if some of them do."""
        return next(iter(self._held.values()), None)

    async def hold(self, who: object, reason: str | None) -> None:
        """Note what `who` waits for, or that it goes on."""
        before = self.held
        if reason is None:
            self._held.pop(who, None)
        else:
            self._held[who] = reason
        if self.held != before:
            await self.notify()

    def _shown(self, jobs: Sequence[Job]) -> list[Job]:
        return [one if one.state in FINAL else replace(one, waiting=self.held) for one in jobs]

    async def create(
        self, principal: Principal, items: Sequence[NewItem], idempotency_key: str | None
    ) -> tuple[Job, bool]:
        """Note a job, and whether it is new: the same idempotency key brings the first job back.

        The principal's rights are noted with it: they hold for the job, whatever becomes of the
        key. Raises `Conflict` when the idempotency key came before with other documents.
        """
        job_id, created = uuid.uuid4().hex, now()
        fingerprint = json.dumps(
            [[i.source, i.title, i.media_type, i.groups, i.metadata, i.digest] for i in items]
        )
        job = (
            job_id,
            principal.tenant,
            principal.key_id,
            principal.role,
            json.dumps(sorted(principal.groups)),
            idempotency_key,
            fingerprint,
            created,
            created,
        )
        try:
            async with self._database.transaction() as connection:
                await connection.execute(
                    "INSERT INTO jobs (id, tenant, key_id, role, key_groups, state,"
                    " idempotency_key, fingerprint, created_at, updated_at)"
                    " VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?)",
                    job,
                )
                await connection.executemany(
                    "INSERT INTO job_items (job_id, n, source, title, media_type, groups, metadata,"
                    " spool, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [(job_id, n, *_columns(item)) for n, item in enumerate(items)],
                )
        except sqlite3.IntegrityError:
            return await self._repeated(principal, idempotency_key, fingerprint), False
        measures.accepted(len(items))
        return await self._own(principal, job_id), True

    async def _repeated(
        self, principal: Principal, idempotency_key: str | None, fingerprint: str
    ) -> Job:
        row = await self._database.row(
            "SELECT id, fingerprint FROM jobs"
            " WHERE tenant = ? AND key_id = ? AND idempotency_key = ?",
            (principal.tenant, principal.key_id, idempotency_key),
        )
        if row is None or row["fingerprint"] != fingerprint:
            raise Conflict("this Idempotency-Key came before with other documents")
        return await self._own(principal, row["id"])

    async def _own(self, principal: Principal, job_id: str) -> Job:
        job = await self.get(principal, job_id)
        assert job is not None
        return job

    async def get(self, principal: Principal, job_id: str) -> Job | None:
        """The job as it stands, or none when it is not there for this principal."""
        condition, parameters = visible_jobs(principal)
        rows = await self._database.rows(
            f"SELECT * FROM jobs WHERE {condition} AND id = ?",  # noqa: S608
            [*parameters, job_id],
        )
        return next(iter(self._shown(await described(self._database, rows))), None)

    async def page(
        self, principal: Principal, state: JobState | None, limit: int, cursor: str | None
    ) -> tuple[list[Job], str | None]:
        """Up to `limit` jobs, newest first, after `cursor`; and the next cursor, if any."""
        condition, parameters = visible_jobs(principal)
        if state is not None:
            condition += " AND state = ?"
            parameters.append(state)
        if cursor:
            created_at, _, job_id = cursor.rpartition("~")
            if not created_at:
                raise InvalidValue("cursor: use next_cursor of the page before, unchanged")
            condition += " AND (created_at, id) < (?, ?)"
            parameters += [created_at, job_id]
        rows = await self._database.rows(
            f"SELECT * FROM jobs WHERE {condition}"  # noqa: S608
            " ORDER BY created_at DESC, id DESC LIMIT ?",
            [*parameters, limit + 1],
        )
        jobs = self._shown(await described(self._database, rows[:limit]))
        more = len(rows) > limit
        return jobs, f"{jobs[-1].created_at}~{jobs[-1].id}" if more else None

    async def results(
        self, principal: Principal, job_id: str, only: Only | None, limit: int, cursor: int = 0
    ) -> tuple[list[Result], int | None] | None:
        """Up to `limit` documents that have an outcome, from the one numbered `cursor` on.

        With them the number to go on from, if there are more; none at all when the job is not there
        for this principal.
        """
        condition, parameters = visible_jobs(principal)
        if not await self._database.row(
            f"SELECT 1 FROM jobs WHERE {condition} AND id = ?",  # noqa: S608
            [*parameters, job_id],
        ):
            return None
        rows = await self._database.rows(
            "SELECT n, source, outcome, document_id, message, warnings, replaced"  # noqa: S608
            f" FROM job_items WHERE job_id = ? AND {_CONDITIONS[only]} AND n >= ?"
            " ORDER BY n LIMIT ?",
            (job_id, cursor, limit + 1),
        )
        found = [_result(row) for row in rows[:limit]]
        return found, rows[limit]["n"] if len(rows) > limit else None

    async def watch(
        self, principal: Principal, job_id: str, after: int, heartbeat: float
    ) -> AsyncIterator[Job | None]:
        """The job whenever its revision has passed `after`, up to its final state.

        Yields none after `heartbeat` seconds without a change. Changes that come faster than they
        are read, or than `_QUICKEST_SECONDS`, are seen as one.
        """
        told: str | None = None
        while True:
            quiet = False
            async with self._changed:  # held while looking, so that no change slips in between
                job = await self.get(principal, job_id)
                if job is not None and not _is_new(job, after, told) and job.state not in FINAL:
                    try:
                        async with asyncio.timeout(heartbeat):
                            await self._changed.wait()
                        continue
                    except TimeoutError:
                        quiet = True
            if quiet:
                yield None
                continue
            if job is not None and _is_new(job, after, told):
                after, told = job.revision, job.waiting
                yield job
            if job is None or job.state in FINAL:
                return
            await asyncio.sleep(_QUICKEST_SECONDS)

    async def waiting(self, job_id: str | None = None) -> list[Item]:
        """Every document that waits, or every one of a job, in the order in which they came."""
        one_job = "" if job_id is None else " AND jobs.id = ?"
        rows = await self._database.rows(
            "SELECT job_items.*, jobs.tenant, jobs.key_id, jobs.role, jobs.key_groups"  # noqa: S608
            " FROM job_items JOIN jobs ON jobs.id = job_items.job_id"
            f" WHERE outcome IS NULL{one_job} ORDER BY jobs.created_at, jobs.id, n",
            () if job_id is None else (job_id,),
        )
        return [_item(row) for row in rows]

    async def begin(self, job_id: str) -> bool:
        """Note that the first of a job's documents is taken up; false when it was cancelled."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "UPDATE jobs SET state = 'running', started_at = ?, revision = revision + 1"
                " WHERE id = ? AND state = 'queued'",
                (now(), job_id),
            )
        await self.notify()
        row = await self._database.row("SELECT state FROM jobs WHERE id = ?", (job_id,))
        return row is not None and row["state"] not in FINAL

    async def record(
        self, connection: aiosqlite.Connection, ends: Sequence[tuple[Item, End]]
    ) -> list[bool]:
        """Note, inside a transaction, what documents came to; with its last one a job is final.

        Gives whether each was noted: a document has its outcome already when its job was cancelled.
        """
        by_job: dict[str, dict[int, End]] = {}
        for item, end in ends:
            by_job.setdefault(item.job_id, {})[item.n] = end
        noted = {job_id: await _record(connection, job_id, of) for job_id, of in by_job.items()}
        return [item.n in noted[item.job_id] for item, _ in ends]

    async def finish(self, item: Item, end: End) -> None:
        """Note the outcome of a document that changes nothing in the index."""
        async with self._database.transaction() as connection:
            (noted,) = await self.record(connection, [(item, end)])
        if noted:
            measures.settled(end.outcome)
        await self.notify()

    async def cancel(self, principal: Principal, job_id: str) -> list[str] | None:
        """End a job: what is in stays in, the rest is `cancelled`; the names of its uploads.

        A job that was cancelled before stays as it is. None when the job is not there for this
        principal; raises `Conflict` when it had come to its end.
        """
        condition, parameters = visible_jobs(principal)
        async with self._database.transaction() as connection:
            rows = await connection.execute_fetchall(
                f"SELECT state FROM jobs WHERE {condition} AND id = ?",  # noqa: S608
                [*parameters, job_id],
            )
            state = next((row["state"] for row in rows), None)
            if state is None:
                return None
            if state in FINAL - {JobState.CANCELLED}:
                raise Conflict(f"the job has ended ({state}): nothing is left to cancel")
            stamp = now()
            spooled = await connection.execute_fetchall(
                "UPDATE job_items SET outcome = ?, finished_at = ?"
                " WHERE job_id = ? AND outcome IS NULL RETURNING spool",
                (CANCELLED, stamp, job_id),
            )
            if state != JobState.CANCELLED:
                await connection.execute(
                    "UPDATE jobs SET state = ?, revision = revision + 1, updated_at = ?"
                    " WHERE id = ?",
                    (CANCELLED, stamp, job_id),
                )
        names = [row["spool"] for row in spooled]
        measures.called_off(len(names))
        await self.notify()
        return names

    async def notify(self) -> None:
        """Tell whoever watches that something was recorded."""
        async with self._changed:
            self._changed.notify_all()


def _is_new(job: Job, after: int, told: str | None) -> bool:
    """Whether it went on, or waits for something else than was told."""
    return job.revision > after or (job.waiting != told and job.state not in FINAL)


async def _record(
    connection: aiosqlite.Connection, job_id: str, ends: Mapping[int, End]
) -> set[int]:
    """Note what documents of one job came to, by their numbers; gives those that were noted."""
    stamp = now()
    marks = ", ".join("?" * len(ends))  # all that is put together into the SQL: question marks
    rows = await connection.execute_fetchall(
        f"SELECT n FROM job_items WHERE job_id = ? AND outcome IS NULL AND n IN ({marks})",  # noqa: S608
        [job_id, *ends],
    )
    waiting = {row["n"] for row in rows}
    if not waiting:
        return waiting
    await connection.executemany(
        "UPDATE job_items SET outcome = ?, document_id = ?, chunks = ?, message = ?,"
        " warnings = ?, replaced = ?, finished_at = ? WHERE job_id = ? AND n = ?",
        [(*_kept(ends[n]), stamp, job_id, n) for n in waiting],
    )
    await connection.execute(
        "UPDATE jobs SET revision = revision + 1, updated_at = ?, state = CASE"
        " WHEN EXISTS (SELECT 1 FROM job_items WHERE job_id = jobs.id AND outcome IS NULL)"
        " THEN 'running'"
        " ELSE (SELECT CASE WHEN sum(outcome = 'failed') = 0 THEN 'succeeded'"
        " WHEN sum(outcome = 'failed') = count(*) THEN 'failed' ELSE 'partial' END"
        " FROM job_items WHERE job_id = jobs.id) END WHERE id = ?",
        (stamp, job_id),
    )
    return waiting


def _kept(end: End) -> tuple[str | int | None, ...]:
    return (
        end.outcome,
        end.document_id,
        end.chunks,
        end.message,
        json.dumps(end.warnings),
        json.dumps([asdict(one) for one in end.replaced]),
    )


def _result(row: aiosqlite.Row) -> Result:
    return Result(
        source=row["source"],
        outcome=row["outcome"],
        document_id=row["document_id"],
        message=row["message"],
        warnings=warned(row["warnings"]),
        replaced=tuple(Former(**one) for one in json.loads(row["replaced"])),
    )


def _columns(item: NewItem) -> tuple[str | None, ...]:
    return (
        item.source,
        item.title,
        item.media_type,
        json.dumps(item.groups),
        json.dumps(item.metadata),
        item.spool,
        item.digest,
    )


def _item(row: aiosqlite.Row) -> Item:
    groups = frozenset(json.loads(row["key_groups"]))
    return Item(
        job_id=row["job_id"],
        n=row["n"],
        principal=Principal(row["key_id"], row["tenant"], groups, Role(row["role"])),
        new=NewItem(
            source=row["source"],
            title=row["title"],
            media_type=row["media_type"],
            groups=tuple(json.loads(row["groups"])),
            metadata=json.loads(row["metadata"]),
            spool=row["spool"],
            digest=row["digest"],
        ),
    )
