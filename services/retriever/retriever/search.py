"""Search: a question becomes vectors, vectors find chunks, a reranker may order them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from opentelemetry.trace import SpanKind
from qdrant_client import models

from bulkhead.auth import Principal
from bulkhead.errors import Unavailable
from bulkhead.telemetry import names
from bulkhead.telemetry.spans import Attributes, span
from retriever.clients.embedding import EmbeddingClient
from retriever.index.filters import Filters
from retriever.index.identifiers import Wanted
from retriever.index.index import Index
from retriever.index.model import Hit, Mode
from retriever.index.sparse import BM25
from retriever.index.vectors import Legs
from retriever.report import Report
from retriever.settings import RetrieverSettings

_DEEP = 50
"""Chunks among which one that holds an identifier is looked for: its leg puts it near the top."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search, as a caller may ask for it."""

    mode: Mode = Mode.HYBRID
    rerank: bool = False
    filters: Filters = ()


@dataclass(frozen=True, slots=True)
class Context:
    """A text that a query is searched for with, and what it counts where the query counts 1."""

    text: str
    meaning: float
    """In the dense vector."""
    words: float
    """Of each of its terms."""


def fusion(settings: RetrieverSettings) -> models.Query:
    """How Qdrant is to fuse the legs: by their scores' distributions, or by reciprocal ranks."""
    if settings.fusion == "dbsf":
        return models.FusionQuery(fusion=models.Fusion.DBSF)
    return models.RrfQuery(rrf=models.Rrf(k=settings.rrf_k))


class Searcher:
    """The one search behind `/v1/search` and behind every answer."""

    def __init__(
        self, index: Index, embedding: EmbeddingClient, bm25: BM25, settings: RetrieverSettings
    ) -> None:
        self._index = index
        self._embedding = embedding
        self._bm25 = bm25
        self._collection = settings.collection
        self._prefetch = settings.prefetch
        self._fusion = fusion(settings)

    async def search(
        self,
        principal: Principal,
        query: str,
        limit: int,
        options: SearchOptions,
        report: Report,
        context: Sequence[Context] = (),
    ) -> list[Hit]:
        """The best `limit` chunks, best first; ahead of all others those that hold the query's
        identifiers as they are written, unless only meaning was asked for. Both legs search for the
        query and its `context` at once.

        Without the embedding service a hybrid search goes on with words alone and the report says
        so; a dense one raises `Unavailable`. Without a reranker the order stays, and is reported.
        """
        mode = options.mode
        vector: list[float] | None = None
        if mode is not Mode.SPARSE:
            try:
                with report.stage("embed"):
                    vector = await self._vector(query, context)
            except Unavailable as error:
                if mode is Mode.DENSE or error.part is None:
                    raise
                report.degrade(error.part)
                mode = Mode.SPARSE
        words = self._bm25.query(query, [(one.text, one.words) for one in context])
        legs = Legs(mode, vector, words, self._prefetch, self._fusion)
        written = Wanted(query if mode is not Mode.DENSE else "")
        wanted = max(limit, self._prefetch) if options.rerank else limit
        if written:
            wanted = max(wanted, _DEEP)
        about: Attributes = {
            names.OPERATION: names.RETRIEVAL,
            names.DATA_SOURCE: self._collection,
            names.RETRIEVAL_TOP_K: wanted,
            names.MODE: mode,
        }
        retrieval = span(f"{names.RETRIEVAL} {self._collection}", about, SpanKind.CLIENT)
        with report.stage("search"), retrieval:
            hits = await self._index.search(principal, legs, wanted, options.filters)
        cosines = [hit.scores.dense for hit in hits if hit.scores.dense is not None]
        if cosines:
            report.top1_score = max(cosines)
        if options.rerank and hits:
            hits = await self._rerank(query, hits, report)
        return (_as_written(written, hits) if written else hits)[:limit]

    async def _vector(self, query: str, context: Sequence[Context]) -> list[float]:
        meant = [Context(query, 1.0, 1.0), *(one for one in context if one.meaning)]
        vectors = await asyncio.gather(*(self._embedding.aembed_query(one.text) for one in meant))
        mixed: list[float] = np.dot([one.meaning for one in meant], vectors).tolist()
        return mixed

    async def _rerank(self, query: str, hits: list[Hit], report: Report) -> list[Hit]:
        try:
            about = {names.OPERATION: names.RERANK}
            with report.stage("rerank"), span(names.RERANK, about, SpanKind.CLIENT):
                scores = await self._embedding.rerank(query, [hit.shown for hit in hits])
        except Unavailable as error:
            report.degrade(error.part or "reranker")
            return hits
        ranked = [
            replace(hit, score=score, scores=replace(hit.scores, rerank=score))
            for hit, score in zip(hits, scores, strict=True)
        ]
        return sorted(ranked, key=lambda hit: -hit.score)


def _as_written(written: Wanted, hits: Sequence[Hit]) -> list[Hit]:
    """The hits by how many of the query's identifiers they hold, else in the order they have."""
    counted = [
        replace(hit, scores=replace(hit.scores, exact=written.held(f"{hit.title}\n{hit.text}")))
        for hit in hits
    ]
    return sorted(counted, key=lambda hit: -(hit.scores.exact or 0))
