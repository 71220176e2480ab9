"""The steps that documents go through, each a function or an actor of Ray's."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson

from bulk.corpus import Corpus
from bulk.embed import Embedding
from bulk.model import One, Row, grouped, packed, unpacked
from bulk.prepare import Preparing
from bulk.publish import Publishing
from bulk.read import documents, size
from bulk.stores import Patience, Told, open_embedding, open_stores
from bulkhead.logs import configure_logging
from bulkhead.proxies import spare
from retriever.ingest.prepare import Preparer
from retriever.parts import bm25, chunker_pool, parser_client


def read(batch: Any, told: Told) -> Iterator[Row]:
    """The documents of the pieces, in groups."""
    corpus = Corpus(told.source, told.prefix)
    for piece in batch.get("piece", ()):
        ones = documents(corpus, pickle.loads(piece), told.taking)  # noqa: S301 - ours
        for group in grouped(ones, size, told.bulk.group_bytes, told.bulk.group_documents):
            yield packed(group)


class _Step:
    """An actor with an event loop of its own, in which all that it has open lives."""

    def __init__(self, told: Told) -> None:
        configure_logging(told.bulk.log_level)
        spare()
        self._told = told
        self._loop = asyncio.Runner()
        self._opened = AsyncExitStack()
        self._loop.run(self._opened.enter_async_context(self._open()))

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        raise NotImplementedError
        yield


class Prepare(_Step):
    """Parses and cuts."""

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        told, settings = self._told, self._told.retriever
        parser = parser_client(settings)
        async with (
            open_stores(settings, told.collection) as stores,
            open_embedding(told) as embeddings,
        ):
            patience = Patience(stores.runs, told.job_id)
            await patience.until(embeddings.model)
            tokenizer = await patience.until(embeddings.tokenizer)
            chunkers = chunker_pool(settings, embeddings, tokenizer)
            preparer = Preparer(parser, chunkers)
            self._work = Preparing(told, stores, preparer, bm25(settings), patience)
            try:
                yield
            finally:
                chunkers.close()
                await parser.close()

    def __call__(self, batch: Any) -> Iterator[Row]:
        """Groups in, groups out, of a bounded number of chunks each."""
        for group in unpacked(batch):
            for prepared in self._loop.run(self._work.prepared(group)):
                yield packed(prepared)


class Embed(_Step):
    """Turns chunks into vectors."""

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        told = self._told
        async with (
            open_stores(told.retriever, told.collection) as stores,
            open_embedding(told) as embeddings,
        ):
            patience = Patience(stores.runs, told.job_id)
            await patience.until(embeddings.model)
            await patience.until(embeddings.tokenizer)  # by which it cuts, for servers that do not
            self._work = Embedding(embeddings, patience)
            yield

    def __call__(self, batch: Any) -> Iterator[Row]:
        """Groups in, the same with vectors out."""
        for group in unpacked(batch):
            made: list[One] = self._loop.run(self._work.embedded(group))
            yield packed(made)


class Publish(_Step):
    """Writes to Qdrant, and publishes in PostgreSQL."""

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        told = self._told
        async with open_stores(told.retriever, told.collection) as stores:
            self._work = Publishing(told, stores, Patience(stores.runs, told.job_id))
            yield

    def __call__(self, batch: Any) -> Iterator[dict[str, list[bytes]]]:
        """Groups in; of each, what became of its documents."""
        for group in unpacked(batch):
            yield {"came_to": [orjson.dumps(self._loop.run(self._work.published(group)))]}
