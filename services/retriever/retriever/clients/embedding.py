"""Who embeds, as LangChain's `Embeddings`, and who reranks: servers of any shape."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
from langchain_core.embeddings import Embeddings
from opentelemetry.trace import SpanKind

from bulkhead.errors import Unavailable
from bulkhead.telemetry import names
from bulkhead.telemetry.spans import span
from retriever.clients.embedders import (
    PART,
    Embedded,
    Embedder,
    EmbeddingModel,
    Kind,
    Matrix,
    Refused,
    TooLarge,
    tokenizers,
)
from retriever.clients.embedders.vectors import Unusable
from retriever.clients.query_cache import QueryCache

__all__ = ["IN_FLIGHT", "Embedded", "EmbeddingClient", "EmbeddingModel", "Manner", "Refused"]

T = TypeVar("T")
IN_FLIGHT = 4
"""Requests of one call at a time: a server fills its batches from all that wait."""
_SPECIAL_TOKENS = 2
"""What an embedding model adds around a text."""
_WORD = "A word that every model can embed."


@dataclass(frozen=True, slots=True)
class Manner:
    """How a server is asked."""

    timeout: float
    """Longest wait for a batch of documents, in seconds, pauses that it asks for included."""
    query_timeout: float
    batch: int
    """Texts of one request: few, so that a slow server answers each in time and none twice."""
    query_prefix: str = ""
    passage_prefix: str = ""


class EmbeddingClient(Embeddings):
    """Vectors and scores of one server each, and what is known of the model.

    Calls raise `Unavailable("embedding")`, or `("reranker")`, when a server cannot be reached,
    fails, or sends what is no answer; `Refused` when it will not take a text.
    """

    def __init__(
        self, server: Embedder, reranker: Embedder, manner: Manner, queries: QueryCache
    ) -> None:
        self._server = server
        self._reranker = reranker
        self._manner = manner
        self._queries = queries
        self._served: EmbeddingModel | None = None
        self._cutter: tokenizers.Cutter | None = None

    async def model(self) -> EmbeddingModel:
        """The model that is served, asked anew."""
        self._served = await self._server.model(self._manner.query_timeout)
        return self._served

    async def tokenizer(self) -> str:
        """The model's tokenizer, as the JSON that the `tokenizers` library reads."""
        text = await self._server.tokenizer(self._manner.timeout)
        if not self._server.cuts:
            most = (self._served or await self.model()).max_tokens - _SPECIAL_TOKENS
            self._cutter = tokenizers.Cutter(text, most)
        return text

    def room(self, tokenizer_json: str) -> int:
        """Tokens that a passage may have, beside what stands before and around it."""
        assert self._served is not None
        prefix = tokenizers.read(tokenizer_json).encode(
            self._manner.passage_prefix, add_special_tokens=False
        )
        return self._served.max_tokens - _SPECIAL_TOKENS - len(prefix.ids)

    def revision(self) -> str:
        """What the vectors depend on beside the model's name: its revision and our own prefix."""
        assert self._served is not None
        prefix = self._manner.passage_prefix
        return self._served.revision + (f" after {prefix!r}" if prefix else "")

    async def aembed_query(self, text: str) -> list[float]:
        """The vector to search with; waits no longer than a reader would."""
        served = self._served
        model = f"{served.id}\0{served.revision}" if served else ""

        async def embed() -> list[float]:
            found = await self._traced([text], "query", self._manner.query_timeout)
            return cast(list[float], found.vectors[0].tolist())

        return await self._queries.get(model, text, embed)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector a text, in order."""

        async def embed(batch: list[str], _: int) -> Matrix:
            return (await self._traced(batch, "document", self._manner.timeout)).vectors

        batches = await self._batched(texts, embed, IN_FLIGHT)
        return [vector for vectors in batches for vector in vectors.tolist()]

    async def embedded(self, texts: list[str], kind: Kind, truncate: bool | None) -> Embedded:
        """The texts' vectors for a caller of ours, in order. Raises `Refused` with the reason.

        Queries go one batch after another: they go before documents, and readers wait for theirs.
        """

        async def embed(batch: list[str], first: int) -> Embedded:
            try:
                return await self._embed(batch, kind, truncate, self._manner.timeout)
            except Refused as error:  # it counts from the batch's first
                words = re.sub(
                    r"^input\.(\d+)", lambda n: f"text {int(n[1]) + first}", error.message
                )
                raise type(error)(PART, words) from error

        at_once = IN_FLIGHT if kind == "document" else 1
        replies = await self._batched(texts, embed, at_once)
        found = np.concatenate([reply.vectors for reply in replies])
        return Embedded(found, sum(reply.tokens for reply in replies))

    def embed_query(self, text: str) -> list[float]:
        """As `aembed_query`, for synchronous callers outside an event loop."""
        return asyncio.run(self.aembed_query(text))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """As `aembed_documents`, for synchronous callers outside an event loop."""
        return asyncio.run(self.aembed_documents(texts))

    async def rerank(self, query: str, documents: list[str]) -> list[float]:
        """A relevance score a document, in the order given."""
        return await self._reranker.rerank(query, documents, self._manner.query_timeout)

    async def _traced(self, texts: list[str], kind: Kind, seconds: float) -> Embedded:
        model = self._served.id if self._served else ""
        about = {names.OPERATION: names.EMBEDDINGS, names.REQUEST_MODEL: model}
        with span(f"{names.EMBEDDINGS} {model}".rstrip(), about, SpanKind.CLIENT):
            return await self._embed(texts, kind, None, seconds)

    async def _embed(
        self, texts: list[str], kind: Kind, truncate: bool | None, seconds: float
    ) -> Embedded:
        manner = self._manner
        prefix = manner.query_prefix if kind == "query" else manner.passage_prefix
        told = [prefix + text for text in texts]
        if self._cutter is not None and truncate is not False:
            told = [self._cutter.cut(text) for text in told]
        try:
            found = await self._server.embed(told, kind, truncate, seconds)
        except Unusable as error:
            raise await self._blamed(str(error), seconds) from error
        length = found.vectors.shape[1]
        if self._served is not None and length != self._served.dimension:
            raise Unavailable(
                PART,
                f"the embedding server's vectors have {length} numbers, and had"
                f" {self._served.dimension}: it serves another model",
            )
        return found

    async def _blamed(self, why: str, seconds: float) -> Unavailable:
        """Whose fault a vector without a direction is: the server's, or a text's that it cannot
        embed, for which it is of no use to wait."""
        try:
            await self._server.embed([_WORD], "document", None, seconds)
        except Unusable:
            return Unavailable(PART, f"the embedding server sends {why}")
        return Refused(PART, f"for this text the embedding server sends {why}")

    async def _batched(
        self, texts: list[str], embed: Callable[[list[str], int], Awaitable[T]], at_once: int
    ) -> list[T]:
        """What `embed` makes of each batch and the place of its first text, so many at a time.

        A batch that is too large for the server goes in halves.
        """
        limit = asyncio.Semaphore(at_once)
        size = min(self._manner.batch, self._server.most_texts)

        async def one(batch: list[str], first: int) -> list[T]:
            try:
                async with limit:
                    return [await embed(batch, first)]
            except TooLarge:
                if len(batch) == 1:
                    raise
            half = len(batch) // 2
            return await one(batch[:half], first) + await one(batch[half:], first + half)

        tasks = [
            asyncio.create_task(one(texts[first : first + size], first))
            for first in range(0, len(texts), size)
        ]
        try:
            return [made for batch in await asyncio.gather(*tasks) for made in batch]
        finally:
            for task in tasks:  # one failed: the others' answers are of no use
                task.cancel()
