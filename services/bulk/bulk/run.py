"""A run: a corpus goes through the steps, and its job tells how far it is."""

import asyncio
import pickle
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import orjson

from bulk.cluster import (
    PREPARER_CPUS,
    PUBLISHER_CPUS,
    READER_CPUS,
    cluster,
    embedder_cpus,
)
from bulk.corpus import Corpus, Plan
from bulk.mirror import remove_gone
from bulk.steps import Embed, Prepare, Publish, read
from bulk.stores import Patience, Stores, Told, open_embedding, open_stores
from bulkhead.errors import Unavailable
from retriever.ingest.items import FAILED, End
from retriever.ingest.progress import JobState
from retriever.ingest.runs import Ended, Place
from retriever.parts import stamp

_BEAT_SECONDS = 5.0


@dataclass
class Tally:
    """How far a run is."""

    job_id: str
    expected: int | None
    """About how many documents there are; none where nobody can tell."""
    counts: Counter[str] = field(default_factory=Counter)
    removed: int = 0
    spared: str = ""
    """Why nothing was removed, where that was asked for."""
    state: JobState = JobState.RUNNING

    @property
    def documents(self) -> int:
        """Those that have an outcome."""
        return sum(self.counts[one] for one in ("added", "replaced", "unchanged", "failed"))


Report = Callable[[Tally], None]
Note = Callable[[dict[str, Any]], None]
"""Called with each document that failed: `place`, `source`, `reason`."""


class RunOver(Exception):
    """The run cannot go on, in words."""


class StepBroke(Exception):
    """Ray gave a step up, or could not be had."""


async def run(told: Told, report: Report, failed: Note, *, mirror: bool = False) -> Tally:
    """Take the corpus in; what became of it.

    With `mirror`, documents that earlier runs took in and that are no longer there are removed.
    Raises `CorpusError`, `ValueError`, `IndexMismatchError`, `Unavailable`, `RunOver` and
    `StepBroke`; its job is cancelled when it is.
    """
    plan = await asyncio.to_thread(Corpus(told.source, told.prefix).plan)
    corpus = Corpus(told.source, told.prefix).name
    async with open_stores(told.retriever) as stores:
        told = await _opened(told, stores)
        job_id = await stores.runs.begin(told.who, corpus, plan.documents)
        told = replace(told, job_id=job_id)
        tally = Tally(job_id, plan.documents)
        beating = asyncio.create_task(_beat(stores, tally, report))
        try:
            await _unreadable(told, stores, plan, tally, failed)
            if plan.pieces:
                await _in_steps(told, plan, tally, failed, beating)
            if mirror:
                await remove_gone(told, stores, corpus, plan, tally)
        except BaseException as error:
            stopped = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
            state = JobState.CANCELLED if stopped else JobState.FAILED
            with suppress(Unavailable):
                await asyncio.shield(stores.runs.finish(job_id, state))
            raise
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        finish = partial(stores.runs.finish, job_id)
        tally.state = await Patience(stores.runs, job_id).until(finish)
        return tally


async def _opened(told: Told, stores: Stores) -> Told:
    """With the index open for the model that embeds. A start does not wait: `Unavailable`."""
    await stores.database.migrate()
    collection = await stores.database.claim(told.retriever.collection)
    stores.vectors.use(collection)
    async with open_embedding(told) as embeddings:
        await stores.index.open(await stamp(told.retriever, embeddings))
    return replace(told, collection=collection)


async def _unreadable(told: Told, stores: Stores, plan: Plan, tally: Tally, failed: Note) -> None:
    """Name the files that cannot even be opened."""
    ends = {}
    for file, reason in plan.unreadable:
        failed({"place": file.name, "source": None, "reason": reason})
        ends[Place(file.name, file.name)] = End(FAILED, message=reason)
        tally.counts["failed"] += 1
        tally.counts["unread"] += 1
    if ends:
        await stores.runs.note_alone(told.who, tally.job_id, ends)


async def _in_steps(
    told: Told, plan: Plan, tally: Tally, failed: Note, beating: "asyncio.Task[None]"
) -> None:
    with cluster(told.bulk):
        outcomes = _Followed(_outcomes(told, plan))
        while True:
            following = asyncio.ensure_future(outcomes.next())
            await asyncio.wait({following, beating}, return_when=asyncio.FIRST_COMPLETED)
            if beating.done():
                following.cancel()
                beating.result()
            came_to = await following
            if came_to is None:
                return
            if came_to["over"]:
                raise RunOver(came_to["over"])
            tally.counts.update(came_to["counts"])
            for one in came_to["failures"]:
                tally.counts["unread"] += one["source"] is None
                failed(one)


class _Followed:
    """An iterator that waits, gone through in a thread that holds up nobody's end."""

    def __init__(self, iterator: Iterator[dict[str, Any]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[dict[str, Any] | BaseException | None] = asyncio.Queue()
        threading.Thread(target=self._follow, args=(iterator,), daemon=True).start()

    def _follow(self, iterator: Iterator[dict[str, Any]]) -> None:
        last: BaseException | None = None
        try:
            for one in iterator:
                self._loop.call_soon_threadsafe(self._queue.put_nowait, one)
        except BaseException as error:
            last = error
        with suppress(RuntimeError):  # the loop has ended before
            self._loop.call_soon_threadsafe(self._queue.put_nowait, last)

    async def next(self) -> dict[str, Any] | None:
        """The next, none at the end. Raises `StepBroke`."""
        one = await self._queue.get()
        if isinstance(one, BaseException):
            raise StepBroke from one
        return one


def _outcomes(told: Told, plan: Plan) -> Iterator[dict[str, Any]]:
    """Of each group what it came to, as soon as it has."""
    import ray

    bulk = told.bulk
    pieces = [{"piece": pickle.dumps(piece)} for piece in plan.pieces]
    steps = (
        ray.data.from_items(pieces, override_num_blocks=len(pieces))
        .map_batches(
            cast(Any, read),
            batch_size=1,
            fn_kwargs={"told": told},
            num_cpus=READER_CPUS,
            concurrency=2 * bulk.preparers,
        )
        .map_batches(
            Prepare,
            batch_size=1,
            fn_constructor_args=(told,),
            num_cpus=PREPARER_CPUS,
            concurrency=bulk.preparers,
        )
        .map_batches(
            Embed,
            batch_size=1,
            fn_constructor_args=(told,),
            num_cpus=embedder_cpus(bulk),
            num_gpus=bulk.embedder_gpus if bulk.embedding == "actors" else 0,
            concurrency=bulk.embedders,
        )
        .map_batches(
            Publish,
            batch_size=1,
            fn_constructor_args=(told,),
            num_cpus=PUBLISHER_CPUS,
            concurrency=bulk.publishers,
        )
    )
    for batch in steps.iter_batches(batch_size=None, prefetch_batches=0):
        for one in batch.get("came_to", ()):
            yield orjson.loads(one)


async def _beat(stores: Stores, tally: Tally, report: Report) -> None:
    """Have the job and the terminal say how far the run is. Raises `RunOver` once the job ended."""
    while True:
        await asyncio.sleep(_BEAT_SECONDS)
        report(tally)
        try:
            await stores.runs.beat(tally.job_id)
        except Ended:
            raise RunOver("the run's job has ended: it was cancelled, or started again") from None
        except Unavailable:
            pass  # the steps wait for it, too
