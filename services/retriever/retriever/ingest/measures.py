"""What ingestion counts: documents on their way, what became of them, how long the stages took."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import (
    CHUNKS,
    DOCUMENTS,
    DOCUMENTS_WAITING,
    INGEST_STAGE_DURATION,
    WARNINGS,
)


def waiting(documents: int) -> None:
    """So many documents wait, of all jobs."""
    DOCUMENTS_WAITING.set(documents)


def settled(outcome: str, chunks: int = 0) -> None:
    """A document has its outcome, which is kept, and so many chunks of it were written."""
    DOCUMENTS.add(1, {names.OUTCOME: outcome})
    CHUNKS.add(chunks)


def warned(codes: Collection[str]) -> None:
    """A document went in of which the parser warned so."""
    for code in codes:
        WARNINGS.add(1, {names.WARNING: code})


def took(stage: str, seconds: float) -> None:
    """A stage was passed."""
    INGEST_STAGE_DURATION.record(seconds, {names.STAGE: stage})


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the time of the body towards stage `name`, if it is passed."""
    started = time.perf_counter()
    yield
    took(name, time.perf_counter() - started)
