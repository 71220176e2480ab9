"""How far a job is: its counts, how fast it goes, when it may end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import aiosqlite

from retriever.database import Database
from retriever.index.model import Former
from retriever.parsed import Warned

_WINDOW = timedelta(seconds=60)
"""How far back a running job's rate looks."""


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
class Result:
    """What became of a document of a job."""

    source: str
    outcome: str
    document_id: str | None
    message: str | None
    """Why it did not go in."""
    warnings: tuple[Warned, ...]
    """What was lost or guessed in reading it."""
    replaced: tuple[Former, ...]
    """The documents that it took the place of."""


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


def now() -> str:
    """The time as the store keeps it: UTC, sortable as text."""
    return _text(datetime.now(UTC))


async def described(database: Database, rows: Sequence[aiosqlite.Row]) -> list[Job]:
    """The jobs of these rows of `jobs`, with what their documents have come to."""
    if not rows:
        return []
    at = datetime.now(UTC)
    marks = ", ".join("?" * len(rows))
    outcomes = await database.rows(
        "SELECT job_id, outcome, count(*) AS documents, sum(chunks) AS chunks,"  # noqa: S608
        " sum(warnings != '[]') AS warned,"
        f" sum(finished_at > ?) AS lately FROM job_items WHERE job_id IN ({marks})"
        " GROUP BY job_id, outcome",
        [_text(at - _WINDOW), *(row["id"] for row in rows)],
    )
    by_job: dict[str, list[aiosqlite.Row]] = {row["id"]: [] for row in rows}
    for outcome in outcomes:
        by_job[outcome["job_id"]].append(outcome)
    return [_job(row, by_job[row["id"]], at) for row in rows]


def _job(row: aiosqlite.Row, outcomes: Sequence[aiosqlite.Row], at: datetime) -> Job:
    by_outcome = {one["outcome"] or "pending": one["documents"] for one in outcomes}
    counts = {"total": sum(by_outcome.values())}
    for outcome in ("added", "replaced", "unchanged", "failed", "cancelled", "pending"):
        counts[outcome] = by_outcome.get(outcome, 0)
    counts["warned"] = sum(one["warned"] for one in outcomes)
    counts["chunks"] = sum(one["chunks"] for one in outcomes)
    state = JobState(row["state"])
    if state in FINAL:
        taken = counts["total"] - counts["cancelled"]
        rate = _rate(taken, row["started_at"], datetime.fromisoformat(row["updated_at"]))
    else:
        lately = sum(one["lately"] or 0 for one in outcomes)
        rate = _rate(lately, row["started_at"], at, _WINDOW)
    return Job(
        id=row["id"],
        state=state,
        revision=row["revision"],
        counts=counts,
        rate=round(rate, 2) if rate is not None else None,
        eta_seconds=_eta(state, counts["pending"], rate),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _rate(
    documents: int, started_at: str | None, until: datetime, window: timedelta = timedelta.max
) -> float | None:
    """Documents a second since the start, or within the window before `until`."""
    if started_at is None or not documents:
        return None
    seconds = min(until - datetime.fromisoformat(started_at), window).total_seconds()
    return documents / seconds if seconds > 0 else None


def _eta(state: JobState, pending: int, rate: float | None) -> float | None:
    if state in FINAL:
        return 0.0
    return round(pending / rate, 1) if rate else None


def _text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")
