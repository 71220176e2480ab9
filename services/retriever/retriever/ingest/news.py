"""What the processes tell each other of jobs: that something changed, and what workers wait for."""

from datetime import timedelta

from sqlalchemy import Select, func, select

from bulkhead.errors import Unavailable
from retriever.database import Database
from retriever.state.schema import clock, workers

CHANNEL = "bulkhead_jobs"
"""Told the id of a job that changed; nothing where it may be any."""
LEASE = timedelta(seconds=30)
"""How long a worker has documents after it was last heard of."""
NO_WORKER = "no worker takes documents in"


def told(job_id: str = "") -> "Select[tuple[object]]":
    """The statement that tells of a change when its transaction commits."""
    return select(func.pg_notify(CHANNEL, job_id))


async def waited_for(database: Database) -> str | None:
    """What documents wait for before they can go on, if some of them do."""
    alive = workers.c.seen_at > clock() - LEASE
    row = await database.row(
        select(func.count().label("workers"), func.min(workers.c.waiting).label("waiting")).where(
            alive
        )
    )
    if row is None or not row.workers:
        return NO_WORKER
    return str(row.waiting) if row.waiting is not None else None


async def check(database: Database) -> None:
    """Raise `Unavailable` while documents are not taken in, with what they wait for."""
    if (reason := await waited_for(database)) is not None:
        raise Unavailable("ingest", reason)
