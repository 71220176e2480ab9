"""Ingestion jobs: accepted at once, kept in SQLite until every document of them has its outcome."""

import asyncio
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from bulkhead.auth import Principal
from bulkhead.errors import Conflict
from retriever.database import Database

FAILED = "failed"


class JobState(StrEnum):
    """`partial`: some documents went in and some failed; `failed`: none went in."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"


FINAL = frozenset({JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED})


@dataclass(frozen=True, slots=True)
class NewItem:
    """A document as it was handed in; `spool` names the file in the spool with its bytes."""

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
    tenant: str
    key_id: str
    source: str
    title: str | None
    media_type: str | None
    groups: tuple[str, ...]
    metadata: dict[str, Any]
    spool: str
    digest: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job as a caller sees it. `revision` grows with every change."""

    id: str
    state: JobState
    revision: int
    counts: dict[str, int]
    errors: list[dict[str, str]]
    created_at: str
    updated_at: str


class Jobs:
    """The jobs' store, and the notice of their changes to whoever waits in this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = asyncio.Condition()

    async def create(
        self, principal: Principal, items: Sequence[NewItem], idempotency_key: str | None
    ) -> tuple[Job, bool]:
        """Note a job, and whether it is new: the same idempotency key brings the first job back.

        Raises `Conflict` when the key came before with other documents.
        """
        job_id, now = uuid.uuid4().hex, _now()
        fingerprint = json.dumps(
            [[i.source, i.title, i.groups, i.metadata, i.digest] for i in items]
        )
        try:
            async with self._database.transaction() as connection:
                await connection.execute(
                    "INSERT INTO jobs (id, tenant, key_id, state, idempotency_key, fingerprint,"
                    " created_at, updated_at) VALUES (?, ?, ?, 'queued', ?, ?, ?, ?)",
                    (
                        job_id,
                        principal.tenant,
                        principal.key_id,
                        idempotency_key,
                        fingerprint,
                        now,
                        now,
                    ),
                )
                await connection.executemany(
                    "INSERT INTO job_items (job_id, n, source, title, media_type, groups, metadata,"
                    " spool, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (
                            job_id,
                            n,
                            item.source,
                            item.title,
                            item.media_type,
                            json.dumps(item.groups),
                            json.dumps(item.metadata),
                            item.spool,
                            item.digest,
                        )
                        for n, item in enumerate(items)
                    ],
                )
        except sqlite3.IntegrityError:
            return await self._repeated(principal, idempotency_key, fingerprint), False
        job = await self.get(principal, job_id)
        assert job is not None
        return job, True

    async def _repeated(
        self, principal: Principal, idempotency_key: str | None, fingerprint: str
    ) -> Job:
        row = await self._database.row(
            "SELECT id, fingerprint FROM jobs WHERE tenant = ? AND idempotency_key = ?",
            (principal.tenant, idempotency_key),
        )
        if row is None or row["fingerprint"] != fingerprint:
            raise Conflict("this Idempotency-Key came before with other documents")
        job = await self.get(principal, row["id"])
        assert job is not None
        return job

    async def get(self, principal: Principal, job_id: str) -> Job | None:
        """The job as it stands, or none when it is not there for this principal."""
        row = await self._database.row(
            "SELECT * FROM jobs WHERE id = ? AND tenant = ?", (job_id, principal.tenant)
        )
        if row is None:
            return None
        outcomes = await self._database.rows(
            "SELECT outcome, count(*) AS documents, sum(chunks) AS chunks FROM job_items"
            " WHERE job_id = ? GROUP BY outcome",
            (job_id,),
        )
        by_outcome = {row["outcome"] or "pending": row["documents"] for row in outcomes}
        counts = {"total": sum(by_outcome.values())}
        for outcome in ("added", "replaced", "unchanged", FAILED, "pending"):
            counts[outcome] = by_outcome.get(outcome, 0)
        counts["chunks"] = sum(row["chunks"] for row in outcomes)
        errors = await self._database.rows(
            "SELECT source, message FROM job_items WHERE job_id = ? AND outcome = ? ORDER BY n",
            (job_id, FAILED),
        )
        return Job(
            id=row["id"],
            state=JobState(row["state"]),
            revision=row["revision"],
            counts=counts,
            errors=[{"source": e["source"], "message": e["message"]} for e in errors],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )

    async def watch(
        self, principal: Principal, job_id: str, after: int, heartbeat: float
    ) -> AsyncIterator[Job | None]:
        """The job whenever its revision has passed `after`, up to its final state.

        Yields none after `heartbeat` seconds without a change. Changes that come faster than they
        are read are seen as one.
        """
        while True:
            quiet = False
            async with self._changed:  # held while looking, so that no change slips in between
                job = await self.get(principal, job_id)
                if job is not None and job.revision <= after and job.state not in FINAL:
                    try:
                        async with asyncio.timeout(heartbeat):
                            await self._changed.wait()
                        continue
                    except TimeoutError:
                        quiet = True
            if quiet:
                yield None
                continue
            if job is not None and job.revision > after:
                after = job.revision
                yield job
            if job is None or job.state in FINAL:
                return

    async def pending(self) -> list[Item]:
        """Every document that waits, in the order in which they came."""
        rows = await self._database.rows(
            "SELECT job_items.*, jobs.tenant, jobs.key_id FROM job_items"
            " JOIN jobs ON jobs.id = job_items.job_id"
            " WHERE outcome IS NULL ORDER BY jobs.created_at, jobs.id, n"
        )
        return [
            Item(
                job_id=row["job_id"],
                n=row["n"],
                tenant=row["tenant"],
                key_id=row["key_id"],
                source=row["source"],
                title=row["title"],
                media_type=row["media_type"],
                groups=tuple(json.loads(row["groups"])),
                metadata=json.loads(row["metadata"]),
                spool=row["spool"],
                digest=row["digest"],
            )
            for row in rows
        ]

    async def finish(
        self,
        item: Item,
        outcome: str,
        *,
        document_id: str | None = None,
        chunks: int = 0,
        message: str | None = None,
    ) -> None:
        """Note a document's outcome; with the last one the job gets its final state."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "UPDATE job_items SET outcome = ?, document_id = ?, chunks = ?, message = ?"
                " WHERE job_id = ? AND n = ?",
                (outcome, document_id, chunks, message, item.job_id, item.n),
            )
            await connection.execute(
                "UPDATE jobs SET revision = revision + 1, updated_at = ?, state = ("
                " SELECT CASE WHEN sum(outcome IS NULL) > 0 THEN 'running'"
                " WHEN sum(outcome = 'failed') = 0 THEN 'succeeded'"
                " WHEN sum(outcome = 'failed') = count(*) THEN 'failed' ELSE 'partial' END"
                " FROM job_items WHERE job_id = jobs.id) WHERE id = ?",
                (_now(), item.job_id),
            )
        async with self._changed:
            self._changed.notify_all()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
