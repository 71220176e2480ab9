"""Takes waiting documents in: parse, chunk, embed in batches, index together.

Three steps go on at the same time: reading, in other processes; embedding, of as many chunks
as were read, up to a full request; and indexing, of the documents that were embedded together, with
one write to Qdrant and one commit.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import chain, repeat
from typing import TypeVar

import aiosqlite
from langchain_core.embeddings import Embeddings

from bulkhead.errors import ApiError, Unavailable
from retriever.clients.embedding import Refused
from retriever.clients.parser import PART as PARSER
from retriever.index.index import Index
from retriever.index.model import Addition, Change, ChunkSpan, NewDocument, Outcome, document_id
from retriever.index.sparse import BM25
from retriever.ingest import measures
from retriever.ingest.jobs import FAILED, End, Item, Jobs
from retriever.ingest.prepare import Prepared, Preparer
from retriever.ingest.queue import Buffer, Ready, Waiting
from retriever.ingest.spool import Spool
from retriever.parsed import page_at

T = TypeVar("T")
logger = logging.getLogger(__name__)

_CONTEXT_CHARACTERS = 150
_RETRY_SECONDS = (1, 2, 4, 8)
"""Pauses between tries; the last holds for all that follow."""
_GROUP_CHUNKS = 64
"""Chunks that are embedded and indexed together: several full batches of the model."""
_WRITERS = 3
"""Groups in work: two keep the embedding service busy while the third is indexed. One tenant has
two of them at most."""
_BUFFER_CHARACTERS = 2_000_000


class Runner:
    """Works the queue of documents off until it is cancelled."""

    def __init__(
        self,
        jobs: Jobs,
        spool: Spool,
        preparer: Preparer,
        embeddings: Embeddings,
        bm25: BM25,
        index: Index,
        readers: int,
    ) -> None:
        """`readers`: documents that are read at a time, of one tenant half of them."""
        self._jobs = jobs
        self._spool = spool
        self._preparer = preparer
        self._embeddings = embeddings
        self._bm25 = bm25
        self._index = index
        self._readers = readers
        self._waiting = Waiting(max(1, readers // 2))
        self._ready = Buffer(_BUFFER_CHARACTERS, _WRITERS - 1)
        self._begun: dict[str, bool] = {}

    async def wake(self, job_id: str | None = None) -> None:
        """Look for documents that wait: all at start, a job's when it was noted."""
        self._waiting.put(await self._jobs.waiting(job_id))

    def drop(self, job_id: str) -> None:
        """A job was cancelled: read no more of it. What is further on is not published."""
        self._begun[job_id] = False

    async def run(self) -> None:
        """Work until cancelled. What was not finished then waits for the next start."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._readers):
                group.create_task(self._read())
            for _ in range(_WRITERS):
                group.create_task(self._write())
            group.create_task(self._await_parser())

    async def _read(self) -> None:
        while True:
            item = await self._waiting.get()
            try:
                if not await self._patiently(partial(self._may_begin, item.job_id)):
                    self._done(item)
                elif ready := await self._prepare(item):
                    await self._ready.put(ready)
                else:
                    self._done(item)
            except Unavailable as error:
                if error.part == PARSER:
                    await self._set_aside(item, error)
                else:
                    await self._fail(item, error)
            except Exception as error:
                await self._fail(item, error)
            finally:
                self._waiting.read(item)

    async def _set_aside(self, item: Item, error: Unavailable) -> None:
        logger.warning("a document waits for the parser", extra={"reason": error.message})
        self._waiting.set_aside(item)
        await self._jobs.hold(PARSER, error.message)

    async def _await_parser(self) -> None:
        """Queue the documents again that found no parser, as soon as there is one."""
        while True:
            await self._waiting.aside()
            for delay in chain(_RETRY_SECONDS, repeat(_RETRY_SECONDS[-1])):
                await asyncio.sleep(delay)
                try:
                    await self._preparer.check()
                    break
                except Unavailable as error:
                    await self._jobs.hold(PARSER, error.message)
            await self._jobs.hold(PARSER, None)
            self._waiting.resume()

    async def _may_begin(self, job_id: str) -> bool:
        if job_id not in self._begun:
            self._begun[job_id] = await self._jobs.begin(job_id)
        return self._begun[job_id]

    async def _prepare(self, item: Item) -> Ready | None:
        """The document, read; none when it is there already, which is noted."""
        new, principal = item.new, item.principal
        new_id = _identity(item, await self._preparer.version(new.media_type))
        if known := await self._index.unchanged(principal, new_id):
            end = End(Outcome.UNCHANGED, known.id, warnings=known.warnings)
            await self._patiently(partial(self._jobs.finish, item, end))
            return None
        path, part = self._spool.place(new.spool)
        prepared = await self._preparer.prepare(path, new.source, new.media_type, new.digest, part)
        measures.took("parse", prepared.parsed.seconds)
        measures.took("chunk", prepared.chunk_seconds)
        document = _document(item, prepared)
        texts = searchable_texts(document)
        sparse = await asyncio.to_thread(self._bm25.documents, texts)
        return Ready(item, document, texts, sparse)

    async def _write(self) -> None:
        while True:
            group = await self._ready.take(_GROUP_CHUNKS)
            try:
                await self._patiently(partial(self._index_group, group))
            except Exception as error:
                await self._fail_apart(group, error)
            for ready in group:
                self._done(ready.item)
            await self._ready.done(group)
            await self._jobs.notify()

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
        me = asyncio.current_task()
        for delay in chain(_RETRY_SECONDS, repeat(_RETRY_SECONDS[-1])):
            try:
                done = await step()
            except Refused:
                await self._jobs.hold(me, None)
                raise
            except Unavailable as error:
                logger.warning("documents will be tried again", extra={"reason": error.message})
                await self._jobs.hold(me, error.message)
            except BaseException:
                await self._jobs.hold(me, None)
                raise
            else:
                await self._jobs.hold(me, None)
                return done
            await asyncio.sleep(delay)
        raise AssertionError("the pauses have no end")

    async def _index_group(self, group: list[Ready]) -> None:
        group = [ready for ready in group if self._begun.get(ready.item.job_id)]  # not cancelled
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

        async def confirm(
            connection: aiosqlite.Connection, changes: Mapping[str, Change]
        ) -> list[str]:
            ends = [(item, _end(document, changes[document.id])) for item, document in taken]
            noted = await self._jobs.record(connection, ends)
            return [document.id for (_, document), was in zip(taken, noted, strict=True) if was]

        with measures.stage("index"):
            outcomes = await self._index.add(additions, confirm)
        for addition, outcome in zip(additions, outcomes, strict=True):
            if outcome is not None:  # else its job was cancelled
                written = 0 if outcome is Outcome.UNCHANGED else len(addition.document.chunks)
                measures.settled(outcome, written)
                measures.warned({warning.code for warning in addition.document.warnings})

    async def _fail(self, item: Item, error: Exception) -> None:
        await self._note(item, error)
        self._done(item)

    async def _note(self, item: Item, error: Exception) -> None:
        """Note why a document failed. Its owner is told what can be told, the log the rest."""
        if isinstance(error, ApiError):
            message = error.message
        else:
            logger.error(
                "a document could not be taken in", exc_info=error, extra={"job": item.job_id}
            )
            message = "something broke on our side"
        await self._patiently(partial(self._jobs.finish, item, End(FAILED, message=message)))

    def _done(self, item: Item) -> None:
        self._spool.remove([item.new.spool])
        self._waiting.done(item)


def searchable_texts(document: NewDocument) -> list[str]:
    """What is embedded and indexed of each chunk: title, headings and a table's header around it.

    They are cut short, as a model that reads 256 tokens would drop the chunk's end for them.
    """
    return [
        "\n".join(
            part
            for part in (
                document.title[:_CONTEXT_CHARACTERS],
                chunk.heading[-_CONTEXT_CHARACTERS:] if chunk.heading != document.title else "",
                chunk.table_header,
                document.text[chunk.start : chunk.end],
            )
            if part
        )
        for chunk in document.chunks
    ]


def _end(document: NewDocument, change: Change) -> End:
    return End(
        change.outcome,
        document.id,
        len(document.chunks),
        warnings=document.warnings,
        replaced=change.replaced,
    )


def _identity(item: Item, parser: str | None) -> str:
    new = item.new
    return document_id(
        item.principal.tenant,
        new.source,
        new.title,
        new.media_type,
        new.groups,
        new.metadata,
        new.digest,
        parser,
    )


def _document(item: Item, prepared: Prepared) -> NewDocument:
    parsed = prepared.parsed
    return NewDocument(
        id=_identity(item, parsed.parser),
        source=item.new.source,
        title=item.new.title or parsed.title,
        media_type=parsed.media_type,
        groups=item.new.groups,
        metadata=item.new.metadata,
        text=parsed.text,
        pages=parsed.pages,
        digest=item.new.digest,
        parser=parsed.parser,
        file_metadata=parsed.file_metadata,
        warnings=parsed.warnings,
        chunks=[
            ChunkSpan(
                chunk.start,
                chunk.end,
                page_at(parsed.pages, chunk.start),
                chunk.heading,
                tuple(start for start in parsed.pages if chunk.start < start < chunk.end),
                chunk.table_header,
            )
            for chunk in prepared.chunks
        ],
    )
