"""How far a job is: its counts, how fast it goes, when it may end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, ScalarSelect, Select, case, func, select

from retriever.database import Database
from retriever.ingest.items import FAILED
from retriever.ingest.news import LEASE, waited_for
from retriever.state.schema import clock, job_items, jobs, runs
from retriever.state.values import moment

_WINDOW = timedelta(seconds=60)
"""How far back a running job's rate looks."""
NO_DRIVER = "the bulk run that fills this job has ended: start it again"


class JobState(StrEnum):
    """`partial`: some documents went in and some failed; `failed`: none went in."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset(JobState) - {JobState.QUEUED, JobState.RUNNING}


@dataclass(frozen=True, slots=True)
class Job:
    """A job as a caller sees it. `revision` grows with every change."""

    id: str
    state: JobState
    revision: int
    counts: dict[str, int]
    rate: float | None
    eta_seconds: float | None
    created_at: str
    updated_at: str
    waiting: str | None = None
    """What its documents wait for before they can go on, if they do."""


async def described(database: Database, rows: Sequence[Row[Any]]) -> list[Job]:
    """The jobs of these rows of `jobs`, with what their documents have come to."""
    if not rows:
        return []
    outcomes = await database.rows(
        select(
            job_items.c.job_id,
            job_items.c.outcome,
            func.count().label("documents"),
            func.sum(job_items.c.chunks).label("chunks"),
            func.sum(job_items.c.warned).label("warned"),
            func.count().filter(job_items.c.finished_at > clock() - _WINDOW).label("lately"),
            clock().label("at"),
        )
        .where(job_items.c.job_id.in_([row.id for row in rows]))
        .group_by(job_items.c.job_id, job_items.c.outcome)
    )
    by_job: dict[str, list[Row[Any]]] = {row.id: [] for row in rows}
    for outcome in outcomes:
        by_job[outcome.job_id].append(outcome)
    unfinished = [row.id for row in rows if row.state not in FINAL]
    if not unfinished:
        return [_job(row, by_job[row.id], None) for row in rows]
    waiting = await waited_for(database)
    of_runs = {row.job_id: row for row in await database.rows(_runs(unfinished))}
    described = []
    for row in rows:
        run = of_runs.get(row.id)
        waits = waiting if run is None else run.waiting if run.alive else NO_DRIVER
        described.append(_job(row, by_job[row.id], waits, run))
    return described


def fared() -> ScalarSelect[str]:
    """The state in which a job of `jobs` ends, by how its documents fared."""
    failed = func.count().filter(job_items.c.outcome == FAILED)
    state = case(
        (failed == 0, JobState.SUCCEEDED.value),
        (failed == func.count(), JobState.FAILED.value),
        else_=JobState.PARTIAL.value,
    )
    return select(state).where(job_items.c.job_id == jobs.c.id).scalar_subquery()


def _runs(job_ids: Sequence[str]) -> Select[Any]:
    alive = (runs.c.seen_at > clock() - LEASE).label("alive")
    return select(runs.c.job_id, runs.c.expected, runs.c.waiting, alive).where(
        runs.c.job_id.in_(job_ids)
    )


def _job(
    row: Row[Any],
    outcomes: Sequence[Row[Any]],
    waiting: str | None,
    run: Row[Any] | None = None,
) -> Job:
    by_outcome = {one.outcome or "pending": one.documents for one in outcomes}
    noted = sum(by_outcome.values())
    if run is not None and run.expected is not None:
        by_outcome["pending"] = max(0, run.expected - noted)
    counts = {"total": sum(by_outcome.values())}
    for outcome in ("added", "replaced", "unchanged", "failed", "cancelled", "pending"):
        counts[outcome] = by_outcome.get(outcome, 0)
    counts["warned"] = sum(one.warned for one in outcomes)
    counts["chunks"] = sum(one.chunks for one in outcomes)
    state = JobState(row.state)
    if state in FINAL:
        taken = counts["total"] - counts["cancelled"]
        rate = _rate(taken, row.started_at, row.updated_at)
    else:
        lately = sum(one.lately for one in outcomes)
        at = max((one.at for one in outcomes), default=row.updated_at)
        rate = _rate(lately, row.started_at, at, _WINDOW)
    return Job(
        id=row.id,
        state=state,
        revision=row.revision,
        counts=counts,
        rate=round(rate, 2) if rate is not None else None,
        eta_seconds=_eta(state, counts["pending"], rate),
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
        waiting=None if state in FINAL else waiting,
    )


def _rate(
    documents: int, started_at: datetime | None, until: datetime, window: timedelta = timedelta.max
) -> float | None:
    """Documents a second since the start, or within the window before `until`."""
    if started_at is None or not documents:
        return None
    seconds = min(until - started_at, window).total_seconds()
    return documents / seconds if seconds > 0 else None


def _eta(state: JobState, pending: int, rate: float | None) -> float | None:
    if state in FINAL:
        return 0.0
    return round(pending / rate, 1) if rate else None
