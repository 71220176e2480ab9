"""What both measurements share: fill the index, ask with bounded concurrency, keep the failures."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from client.api import Counts, Job
from evaluation.beir import CorpusDocument, Dataset
from evaluation.client import RetrieverClient
from evaluation.errors import ApiError, EvaluationError, MeasurementError
from evaluation.replies import Found

BATCH = 64
# Jobs in flight: enough that the server never waits for us, few enough for its queue.
JOBS = 2

Item = TypeVar("Item")
Result = TypeVar("Result")
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Failure:
    """A query that could not be measured, and why."""

    id: str
    message: str


async def ingest(client: RetrieverClient, dataset: Dataset, advance: Advance) -> Counts:
    """Index a collection and wait until every job is over; documents that are there are unchanged.

    Blank documents are left out (the caller reports `dataset.blank`). Raises ApiError where any
    other document was not indexed: numbers from a part of a collection mean nothing.
    """
    bodies = [_document(dataset, document) for document in dataset.corpus.values() if document.body]
    slots = asyncio.Semaphore(JOBS)

    async def index(batch: list[dict[str, Any]]) -> Counts:
        async with slots:
            job = await client.ingest(batch)
            seen = 0
            async for state in client.follow(job.id):
                job = state
                advance(job.counts.done - seen)
                seen = job.counts.done
        _check(job, len(batch))
        return job.counts

    batches = [bodies[at : at + BATCH] for at in range(0, len(bodies), BATCH)]
    tasks = [asyncio.ensure_future(index(batch)) for batch in batches]
    try:
        counts = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    fields = Counts.model_fields
    return Counts(**{field: sum(getattr(count, field) for count in counts) for field in fields})


async def ask_all(
    items: Sequence[Item],
    ask: Callable[[Item], Awaitable[Result]],
    name: Callable[[Item], str],
    concurrency: int,
    advance: Advance,
) -> tuple[list[Result], list[Failure]]:
    """Ask for every item, at most `concurrency` at once; results in the items' order.

    An item whose asking raises EvaluationError becomes a Failure; the others go on.
    """
    slots = asyncio.Semaphore(concurrency)

    async def one(item: Item) -> Result | Failure:
        async with slots:
            try:
                return await ask(item)
            except EvaluationError as error:
                return Failure(name(item), str(error))
            finally:
                advance(1)

    outcomes = await asyncio.gather(*(one(item) for item in items))
    results = [outcome for outcome in outcomes if not isinstance(outcome, Failure)]
    return results, [outcome for outcome in outcomes if isinstance(outcome, Failure)]


def document_ids(dataset: Dataset, found: Iterable[Found]) -> list[str]:
    """The collection's ids of retrieved chunks, each document once, at its best rank.

    Raises MeasurementError for a source from elsewhere: the filter then did not hold.
    """
    ids: dict[str, None] = {}
    for result in found:
        id_ = result.source.removeprefix(f"{dataset.name}/")
        if result.source != dataset.source(id_) or id_ not in dataset.corpus:
            raise MeasurementError(f"{result.source!r} was found, which is not in {dataset.name}")
        ids[id_] = None
    return list(ids)


def check_whole(degraded: list[str]) -> None:
    """Raise MeasurementError where a part was down: the reply is not what is to be measured."""
    if degraded:
        raise MeasurementError(f"the reply was degraded: {', '.join(degraded)} down")


def _document(dataset: Dataset, document: CorpusDocument) -> dict[str, Any]:
    return {
        "text": document.body,
        "title": document.title,
        "source": dataset.source(document.id),
        "metadata": {"collection": dataset.name, "beir_id": document.id},
    }


def _check(job: Job, expected: int) -> None:
    if job.state == "succeeded" and job.counts.done == expected and not job.counts.failed:
        return
    reasons = "; ".join(f"{error.source}: {error.message}" for error in job.errors[:3])
    raise ApiError(
        f"job {job.id} {job.state}: {job.counts.failed} of {expected} documents failed, "
        f"{job.counts.done} are through. {reasons}".rstrip()
    )
