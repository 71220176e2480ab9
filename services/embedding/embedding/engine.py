"""The engine: texts of all callers, batched for the model. It works without HTTP.

It has two lanes, each with a queue and threads of its own: one for what a reader waits for
(queries, then reranking), one for bulk. A query never waits for a batch of documents: both are
computed at once, and the system's scheduler, which knows bulk as the less urgent, sees to it that
the query comes first and that bulk still gets a share.

On a CPU each core has a thread, and a batch is computed by one of them: threads that share a batch
wait for each other at every layer.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bulkhead.errors import InvalidValue
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import CACHE_LOOKUPS
from embedding.backend import Backend, Vectors
from embedding.cache import Embedded, VectorCache
from embedding.lane import Lane
from embedding.queue import Item, Pair, Row, Work
from embedding.tokens import Kind, Tokens

LAUNCH_TOKENS = 64
"""What a run of the model costs beside its tokens, about, on a core."""
_SHORT_CHARACTERS = 1_000
"""Texts that are tokenized at once: it takes .3 ms, and to have a thread do it takes as long."""
BULK_NICE = 15
"""Of the bulk lane: it gets 4 % of a core that the other lane wants too, and all that is left."""


@dataclass(frozen=True, slots=True)
class Result:
    """Unit vectors of shape (texts, dimension) and the tokens that the model read of each text."""

    vectors: Vectors
    tokens: list[int]


class Engine:
    """Embeds and reranks through a backend."""

    def __init__(
        self,
        backend: Backend,
        *,
        batch_tokens: int,
        queue_texts: int,
        cache_texts: int,
        launch_tokens: int = LAUNCH_TOKENS,
        workers: int = 1,
    ) -> None:
        """`batch_tokens` bounds a batch with its padding, `queue_texts` what waits in a lane.

        `launch_tokens` bounds the padding alone (see `Queue`); `workers` is the number of batches
        that a lane computes at once.
        """
        self.backend = backend
        self._cache = VectorCache(backend, cache_texts)
        self._reading = Lane(
            "reading",
            ("query", "pair"),
            self._compute,
            batch_tokens=batch_tokens,
            launch_tokens=launch_tokens,
            most=queue_texts,
            pads=backend.pads,
            workers=workers,
        )
        self._bulk = Lane(
            "bulk",
            ("document",),
            self._compute,
            batch_tokens=batch_tokens,
            launch_tokens=launch_tokens,
            most=queue_texts,
            pads=backend.pads,
            workers=workers,
            nice=BULK_NICE,
        )
        self._lanes = (self._reading, self._bulk)

    async def start(self) -> None:
        """Warm the model up in both lanes, one after the other, then take work."""
        await self._reading.start(lambda: self._warm("query"))
        await self._bulk.start(lambda: self._warm("document"))

    async def stop(self) -> None:
        """End: the model finishes what it is at, and every caller that waits is cancelled."""
        await asyncio.gather(*(lane.stop() for lane in self._lanes))

    @property
    def running(self) -> bool:
        """Whether texts are taken and computed."""
        return all(lane.running for lane in self._lanes)

    async def embed(self, texts: Sequence[str], kind: Kind, *, truncate: bool = True) -> Result:
        """Vectors of the texts, in order; the last ones asked for come from the cache.

        Raises `RateLimited` when the queue is full and, without `truncate`, `InvalidValue` for a
        text that is too long for the model. Cancelled, its texts leave the queue.
        """
        keys = [self._cache.key(text, kind) for text in texts]
        known = {key: found for key in keys if (found := self._cache.get(key)) is not None}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        for result, number in (("hit", len(known)), ("miss", len(new))):
            CACHE_LOOKUPS.add(number, {names.CACHE: "vectors", names.RESULT: result})
        lane = self._reading if kind == "query" else self._bulk
        counts = {key: found.tokens for key, found in known.items()}
        read: dict[bytes, Tokens] = {}
        if new:
            tokenized = await self._tokenized(lane, list(new.values()), kind)
            read = dict(zip(new, tokenized, strict=True))
            counts |= {key: tokens.count for key, tokens in read.items()}
        longest = self.backend.max_tokens
        if not truncate:
            for index, key in enumerate(keys):
                if counts[key] > longest:
                    problem = f"{counts[key]} tokens; the model reads {longest}"
                    raise InvalidValue(f"input.{index}: {problem}")
        if new:
            items = [_item(kind, tokens, min(tokens.count, longest)) for tokens in read.values()]
            for key, row in zip(new, await lane.submit(items), strict=True):
                known[key] = Embedded(row, counts[key])
                self._cache.put(key, known[key])
        vectors = np.stack([known[key].vector for key in keys])
        return Result(vectors, [min(counts[key], longest) for key in keys])

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """Relevance of each document. Raises `RateLimited` when the queue is full.

        The backend must have a reranking model.
        """
        pairs = [(query, document) for document in documents]
        counts = await self._reading.count(lambda: self.backend.count_pairs(pairs))
        items = [_item("pair", pair, count) for pair, count in zip(pairs, counts, strict=True)]
        return [row.item() for row in await self._reading.submit(items)]

    async def _tokenized(self, lane: Lane, texts: list[str], kind: Kind) -> list[Tokens]:
        if sum(map(len, texts)) <= _SHORT_CHARACTERS:
            return self.backend.tokenize(texts, kind)
        return await lane.count(lambda: self.backend.tokenize(texts, kind))

    def _compute(self, batch: Sequence[Item]) -> Vectors:
        work = batch[0].work
        contents: list[Any] = [item.content for item in batch]  # alike, as all of a batch is
        if work == "pair":
            return self.backend.rerank(contents)
        return self.backend.encode(contents, work)

    def _warm(self, kind: Kind) -> None:
        self.backend.encode(self.backend.tokenize(["warm up"], kind), kind)
        if kind == "query" and self.backend.reranks:
            self.backend.rerank([("warm", "up")])


def _item(work: Work, content: Tokens | Pair, tokens: int) -> Item:
    done: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
    return Item(work, content, tokens, time.monotonic(), done)
