"""Takes waiting documents in: parse and chunk in a process, embed in batches, index at once."""

import asyncio
import logging

from langchain_core.embeddings import Embeddings

from bulkhead.auth import Principal, Role
from bulkhead.errors import ApiError, Unavailable
from retriever.index.index import Index
from retriever.index.model import ChunkSpan, NewDocument, Outcome, document_id
from retriever.index.sparse import BM25
from retriever.ingest.jobs import FAILED, Item, Jobs
from retriever.ingest.parse import ParseError, page_at
from retriever.ingest.spool import Spool
from retriever.ingest.workers import ParserPool, Prepared

logger = logging.getLogger(__name__)

_CONTEXT_CHARACTERS = 150
_RETRY_SECONDS = (1, 2, 4, 8, 15, 30)


class Runner:
    """Works the queue of documents off, `concurrency` at a time, until it is cancelled."""

    def __init__(
        self,
        jobs: Jobs,
        spool: Spool,
        parsers: ParserPool,
        embeddings: Embeddings,
        bm25: BM25,
        index: Index,
        concurrency: int,
    ) -> None:
        self._jobs = jobs
        self._spool = spool
        self._parsers = parsers
        self._embeddings = embeddings
        self._bm25 = bm25
        self._index = index
        self._concurrency = concurrency
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._queued: set[tuple[str, int]] = set()

    async def wake(self) -> None:
        """Look for documents that wait; to be called at start and when a job was noted."""
        for item in await self._jobs.pending():
            if (item.job_id, item.n) not in self._queued:
                self._queued.add((item.job_id, item.n))
                self._queue.put_nowait(item)

    async def run(self) -> None:
        """Work until cancelled. What was not finished then waits for the next start."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            item = await self._queue.get()
            try:
                await self._take(item)
            except ApiError as error:
                await self._jobs.finish(item, FAILED, message=error.message)
            except ParseError as error:
                await self._jobs.finish(item, FAILED, message=str(error))
            except Exception:
                logger.exception("a document could not be taken in", extra={"job": item.job_id})
                await self._jobs.finish(item, FAILED, message="something broke on our side")
            self._queued.discard((item.job_id, item.n))
            self._spool.remove([item.spool])

    async def _take(self, item: Item) -> None:
        # The key's right to write here was checked when the job was accepted.
        principal = Principal(item.key_id, item.tenant, frozenset(item.groups), Role.ADMIN)
        new_id = document_id(
            item.tenant, item.source, item.title, item.groups, item.metadata, item.digest
        )
        if known := await self._index.get(principal, new_id):
            await self._jobs.finish(item, Outcome.UNCHANGED, document_id=known.id)
            return
        prepared = await self._parsers.prepare(
            self._spool.path(item.spool), item.source, item.media_type
        )
        document = _document(new_id, item, prepared)
        outcome = await self._index_patiently(principal, document)
        await self._jobs.finish(item, outcome, document_id=document.id, chunks=len(document.chunks))

    async def _index_patiently(self, principal: Principal, document: NewDocument) -> Outcome:
        """Embed and index; a neighbour that is down is waited for, as it will be back."""
        texts = searchable_texts(document)
        sparse = await asyncio.to_thread(self._bm25.documents, texts)
        for delay in (*_RETRY_SECONDS, None):
            try:
                dense = await self._embeddings.aembed_documents(texts)
                return await self._index.add(principal, document, dense, sparse)
            except Unavailable as error:
                if delay is None:
                    raise
                logger.warning("a document will be tried again", extra={"reason": error.message})
                await asyncio.sleep(delay)
        raise AssertionError("the last round returns or raises")


def searchable_texts(document: NewDocument) -> list[str]:
    """What is embedded and indexed of each chunk: title and headings give it its context.

    They are cut short, as a model that reads 256 tokens would drop the chunk's end for them.
    """
    return [
        "\n".join(
            part
            for part in (
                document.title[:_CONTEXT_CHARACTERS],
                chunk.heading[-_CONTEXT_CHARACTERS:] if chunk.heading != document.title else "",
                document.text[chunk.start : chunk.end],
            )
            if part
        )
        for chunk in document.chunks
    ]


def _document(new_id: str, item: Item, prepared: Prepared) -> NewDocument:
    parsed = prepared.parsed
    return NewDocument(
        id=new_id,
        source=item.source,
        title=item.title or parsed.title,
        media_type=parsed.media_type,
        groups=item.groups,
        metadata=item.metadata,
        text=parsed.text,
        pages=parsed.pages,
        chunks=[
            ChunkSpan(
                chunk.start,
                chunk.end,
                page_at(parsed.pages, chunk.start),
                chunk.heading,
                tuple(start for start in parsed.pages if chunk.start < start < chunk.end),
            )
            for chunk in prepared.chunks
        ],
    )
