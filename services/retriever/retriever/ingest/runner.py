"""Takes waiting documents in: parse, chunk, embed in batches, index together.

Three steps go on at the same time: reading, in other processes; embedding, of as many chunks
as were read, up to a full request; and indexing, of the documents that were embedded together, with
one write to Qdrant and one commit.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TypeVar

from langchain_core.embeddings import Embeddings
from sqlalchemy.ext.asyncio import AsyncConnection

from bulkhead.errors import ApiError, Unavailable
from retriever.clients.embedding import Refused
from retriever.clients.parser import PART as PARSER
from retriever.clients.parser import Lost, Unreadable
from retriever.index.index import Index
from retriever.index.model import Addition, Change, Outcome
from retriever.index.sparse import BM25
from retriever.ingest import measures
from retriever.ingest.items import BROKEN, FAILED, End, Item
from retriever.ingest.prepare import Preparer
from retriever.ingest.queue import Buffer, Ready, Waiting
from retriever.ingest.retry import backoff, retried
from retriever.ingest.shapes import document_of, end, identity, searchable_texts
from retriever.ingest.uploads import Uploads
from retriever.ingest.work import SUSPECT, Work

T = TypeVar("T")
logger = logging.getLogger(__name__)

_GROUP_CHUNKS = 64
"""Chunks that are embedded and indexed together: several full batches of the model."""
_WRITERS = 3
"""Groups in work: two keep the embedding service busy while the third is indexed. One tenant has
two of them at most."""
_BUFFER_CHARACTERS = 2_000_000
_HELD_A_READER = 64
"""Documents at hand for each that is read at a time: small ones fill a group."""
_POLL_SECONDS = 1.0
"""How often documents are looked for where no news of them comes."""
_RENEW_SECONDS = 5.0
_LEAVE_SECONDS = 3.0


class Runner:
    """Takes documents that wait, and works them off until it is cancelled."""

    def __init__(
        self,
        work: Work,
        uploads: Uploads,
        preparer: Preparer,
        embeddings: Embeddings,
        bm25: BM25,
        index: Index,
        readers: int,
    ) -> None:
        """`readers`: documents that are read at a time, of one tenant half of them."""
        self._work = work
        self._uploads = uploads
        self._preparer = preparer
        self._embeddings = embeddings
        self._bm25 = bm25
        self._index = index
        self._readers = readers
        self._most = readers * _HELD_A_READER
        self._waiting = Waiting(max(1, readers // 2))
        self._ready = Buffer(_BUFFER_CHARACTERS, _WRITERS - 1)
        self._items: dict[tuple[str, int], Item] = {}
        """What this worker has. What is no more among them was lost or cancelled: it goes no
        further."""
        self._holds: dict[object, str] = {}
        self._news = asyncio.Event()
        self._parser_away = asyncio.Event()

    def wake(self) -> None:
        """Something changed: look for documents that wait."""
        self._news.set()

    async def run(self) -> None:
        """Work until cancelled. What was not finished then is given back, for others to take."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._readers):
                    group.create_task(self._read())
                for _ in range(_WRITERS):
                    group.create_task(self._write())
                group.create_task(self._take())
                group.create_task(self._renew())
                group.create_task(self._await_parser())
        finally:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self._work.leave()

    async def _take(self) -> None:
        """Keep some documents at hand: few, so that other workers find some too."""
        while True:
            self._news.clear()
            taken: list[Item] = []
            try:
                if len(self._items) <= self._most // 2:
                    taken = await self._some()
            except Unavailable as error:
                logger.warning("no documents can be taken", extra={"reason": error.message})
            for item in taken:
                self._items[item.place] = item
            self._waiting.put(taken)
            if not taken:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._news.wait()

    async def _some(self) -> list[Item]:
        held = Counter(item.principal.tenant for item in self._items.values())
        parser = not self._parser_away.is_set()
        wanted, of_a_tenant = self._most - len(self._items), max(1, self._most // 2)
        taken = await self._work.take(wanted, of_a_tenant, held, parser=parser)
        if not taken and not any(item.attempt > SUSPECT for item in self._items.values()):
            # One at a time, so that none is taken for what another did.
            taken = await self._work.take(1, of_a_tenant, held, parser=parser, suspect=True)
        return taken

    async def _renew(self) -> None:
        """Keep the leases, and learn which documents are no longer this worker's."""
        while True:
            try:
                before = list(self._items.values())
                kept = await self._work.renew(self._held())
                for item in before:
                    if (*item.place, item.attempt) not in kept:
                        self._items.pop(item.place, None)
                await self._work.give_up()
                measures.waiting(await self._work.waiting())
            except Unavailable as error:
                logger.warning("leases cannot be renewed", extra={"reason": error.message})
            await asyncio.sleep(_RENEW_SECONDS)

    def _has(self, item: Item) -> bool:
        return self._items.get(item.place) is item

    def _held(self) -> str | None:
        return next(iter(self._holds.values()), None)

    async def _hold(self, who: object, reason: str | None) -> None:
        """Note what `who` waits for, or that it goes on; jobs tell of it."""
        before = self._held()
        if reason is None:
            self._holds.pop(who, None)
        else:
            self._holds[who] = reason
        if self._held() != before:
            with suppress(Unavailable):  # it is told with the next renewal
                await self._work.hold(self._held())

    async def _read(self) -> None:
        while True:
            item = await self._waiting.get()
            try:
                if not self._has(item):
                    continue
                if item.parsed and self._parser_away.is_set():
                    await self._give_back(item)
                elif ready := await self._prepare(item):
                    await self._ready.put(ready)
                else:
                    await self._done([item])
            except Unavailable as error:
                if error.part == PARSER:
                    await self._await_a_parser(item, error)
                else:
                    await self._fail(item, error)
            except Exception as error:
                await self._fail(item, error)
            finally:
                self._waiting.read(item)

    async def _await_a_parser(self, item: Item, error: Unavailable) -> None:
        logger.warning("documents wait for the parser", extra={"reason": error.message})
        self._parser_away.set()
        await self._hold(PARSER, error.message)
        # One that its parser did not outlive is tried so often, by whichever worker.
        await self._give_back(item, counted=isinstance(error, Lost))

    async def _give_back(self, item: Item, *, counted: bool = False) -> None:
        await self._patiently(partial(self._work.release, item, counted=counted))
        self._items.pop(item.place, None)

    async def _await_parser(self) -> None:
        """Take documents that need a parser again as soon as there is one."""
        while True:
            await self._parser_away.wait()
            for pause in backoff():
                await asyncio.sleep(pause)
                try:
                    await self._preparer.check()
                    break
                except Unavailable as error:
                    await self._hold(PARSER, error.message)
            self._parser_away.clear()
            await self._hold(PARSER, None)
            self.wake()

    async def _prepare(self, item: Item) -> Ready | None:
        """The document, read; none when it is there already, which is noted."""
        new, principal = item.new, item.principal
        new_id = identity(item, await self._preparer.version(new.media_type))
        if known := await self._index.unchanged(principal, new_id):
            end = End(Outcome.UNCHANGED, known.id, warnings=known.warnings)
            await self._patiently(partial(self._work.finish, item, end))
            return None
        data = await self._patiently(partial(self._uploads.read, new.upload))
        if data is None:
            raise Unreadable("The upload is gone; send it again.")
        prepared = await self._preparer.prepare(
            new.upload, data, new.source, new.media_type, new.digest
        )
        measures.took("parse", prepared.parsed.seconds)
        measures.took("chunk", prepared.chunk_seconds)
        new_document = document_of(item, prepared)
        texts = searchable_texts(new_document)
        sparse = await asyncio.to_thread(self._bm25.documents, texts)
        return Ready(item, new_document, texts, sparse)

    async def _write(self) -> None:
        while True:
            group = await self._ready.take(_GROUP_CHUNKS)
            try:
                await self._patiently(partial(self._index_group, group))
            except Exception as error:
                await self._fail_apart(group, error)
            await self._done([ready.item for ready in group])
            await self._ready.done(group)

    async def _fail_apart(self, group: list[Ready], error: Exception) -> None:
        """A group failed: each document of it once more, alone, for it may be the fault of one."""
        if len(group) == 1:
            await self._note(group[0].item, error)
            return
        for ready in group:
            await self._index_alone(ready)

    async def _index_alone(self, ready: Ready) -> None:
        try:
            await self._patiently(partial(self._index_group, [ready]))
        except Exception as error:
            await self._note(ready.item, error)

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do it. What is a store's or a neighbour's fault is waited for as long as it lasts.

        The jobs say meanwhile what they wait for.
        """
        hold = partial(self._hold, asyncio.current_task())
        try:
            return await retried(step, hold, (Refused,))
        except Exception:
            await hold(None)
            raise

    async def _index_group(self, group: list[Ready]) -> None:
        group = [ready for ready in group if self._has(ready.item)]
        if not group:
            return
        texts = [text for ready in group for text in ready.texts]
        with measures.stage("embed"):
            dense = await self._embeddings.aembed_documents(texts)
        additions, first = [], 0
        for ready in group:
            vectors = dense[first : first + len(ready.texts)]
            first += len(ready.texts)
            additions.append(Addition(ready.item.principal, ready.document, vectors, ready.sparse))
        taken = [(ready.item, ready.document) for ready in group]

        async def confirm(connection: AsyncConnection, changes: Mapping[str, Change]) -> list[str]:
            ends = [(item, end(document, changes[document.id])) for item, document in taken]
            noted = await self._work.record(connection, ends)
            return [document.id for (_, document), was in zip(taken, noted, strict=True) if was]

        with measures.stage("index"):
            outcomes = await self._index.add(additions, confirm)
        for addition, outcome in zip(additions, outcomes, strict=True):
            if outcome is not None:  # else it was cancelled, or is another worker's
                written = 0 if outcome is Outcome.UNCHANGED else len(addition.document.chunks)
                measures.settled(outcome, written)
                measures.warned({warning.code for warning in addition.document.warnings})

    async def _fail(self, item: Item, error: Exception) -> None:
        await self._note(item, error)
        await self._done([item])

    async def _note(self, item: Item, error: Exception) -> None:
        """Note why a document failed. Its owner is told what can be told, the log the rest."""
        if isinstance(error, ApiError):
            message = error.message
        else:
            logger.error(
                "a document could not be taken in", exc_info=error, extra={"job": item.job_id}
            )
            message = BROKEN
        await self._patiently(partial(self._work.finish, item, End(FAILED, message=message)))

    async def _done(self, items: list[Item]) -> None:
        """These go no further here: they have their outcome, or are another's."""
        for item in items:
            if self._has(item):
                del self._items[item.place]
        self.wake()
        with suppress(Unavailable):  # left, and swept later
            await self._uploads.remove([item.new.upload for item in items])
