"""The chunks in Qdrant: written, removed, and searched by two vectors a point, fused by Qdrant."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from grpc.aio import AioRpcError
from qdrant_client import models

from bulkhead.errors import Unavailable
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import INDEX_REFUSES
from retriever.index.collection import Stamp, Storage, check_version, index_changes, payload_indexes
from retriever.index.connect import Connection
from retriever.index.filters import Kind
from retriever.index.model import Addition, Hit, Mode
from retriever.index.points import DENSE, SPARSE, hit, points_of
from retriever.index.reaching import reaching

logger = logging.getLogger(__name__)

_QDRANT = {names.DB_SYSTEM: "qdrant"}
_BATCH = 16
"""Points of one write: a search that waits behind it waits for milliseconds."""


@dataclass(frozen=True, slots=True)
class Legs:
    """A query as vectors: what each leg searches with, and how the two are fused."""

    mode: Mode
    dense: list[float] | None
    sparse: models.SparseVector
    prefetch: int
    fusion: models.Query


class Vectors:
    """The collection in Qdrant. Access filters are the caller's to give."""

    def __init__(
        self,
        connection: Connection,
        collection: str,
        kinds: Mapping[str, Kind] | None = None,
        storage: Storage | None = None,
    ) -> None:
        """`kinds` are of the metadata keys that are to have an index of their own; `storage` is
        a server's, embedded Qdrant has but one way."""
        self._reads, self._writes = connection.reads, connection.writes
        self._collection, self._storage = collection, storage
        self._indexes = payload_indexes(kinds or {})
        self.refusal: str | None = None
        """Why the last write was refused, until one is taken again."""
        self.differing = ""
        """How the collection is kept otherwise than the settings say, in words."""

    @property
    def collection(self) -> str:
        """The collection that is read and written now."""
        return self._collection

    def use(self, collection: str) -> None:
        """Go on with this collection."""
        self._collection = collection

    async def is_of(self, collection: str, stamp: Stamp) -> bool:
        """Whether that collection was written as `stamp` says."""
        with reaching():
            info = await self._reads.get_collection(collection)
        return (info.config.metadata or {}) == stamp.metadata()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with reaching():
                yield
        except Unavailable as error:
            self.refusal = error.message
            INDEX_REFUSES.set(1, _QDRANT)
            raise
        self.refusal = None
        INDEX_REFUSES.set(0, _QDRANT)

    async def exists(self) -> bool:
        """Whether the collection is there."""
        with reaching():
            return await self._reads.collection_exists(self._collection)

    async def check(self) -> None:
        """Raise `Unavailable` while chunks cannot be read, as in Qdrant's recovery mode.

        There a collection still exists, and nothing that is asked of it is answered.
        """
        if await self.exists():
            with reaching():
                await self._reads.get_collection(self._collection)

    async def ensure(self, stamp: Stamp) -> None:
        """Make what is missing of the collection, and check what is there against `stamp`.

        Whoever did this before may have died halfway, or be another process that does it now.
        Raises `IndexMismatchError` when the collection, or the server, is not ours to use.
        """
        with reaching():
            check_version((await self._reads.info()).version)
        if not await self.exists():
            await self._create(stamp)
        with reaching():
            info = await self._reads.get_collection(self._collection)
        stamp.check(self._collection, info.config.metadata or {})
        if self._storage and (differing := self._storage.differing(info.config)):
            self.differing = f"the collection keeps what it was made with: {differing}"
            logger.warning("the collection is kept otherwise than set", extra={"reason": differing})
        await self._index(info.payload_schema)
        INDEX_REFUSES.set(0, _QDRANT)

    async def _index(self, there: Mapping[str, models.PayloadIndexInfo]) -> None:
        """Make the payload indexes that are missing, once those of earlier settings are gone."""
        former, missing = index_changes(there, self._indexes)
        for field in former:
            with self._writing():
                await self._writes.delete_payload_index(self._collection, field, wait=True)
        for field, params in missing.items():
            with self._writing():
                await self._writes.create_payload_index(self._collection, field, params)

    async def _create(self, stamp: Stamp) -> None:
        parameters = (self._storage or Storage()).parameters(stamp)
        with reaching():
            try:
                await self._writes.create_collection(self._collection, **parameters)
            except AioRpcError:
                if not await self._reads.collection_exists(self._collection):
                    raise  # else another process was quicker

    async def upsert(self, additions: Sequence[Addition]) -> None:
        """Write every chunk of these documents."""
        points = [point for addition in additions for point in points_of(addition)]
        for first in range(0, len(points), _BATCH):
            batch = points[first : first + _BATCH]
            with self._writing():
                await self._writes.upsert(self._collection, batch, wait=True)

    async def delete(self, document_ids: Sequence[str]) -> None:
        """Remove every point of these documents."""
        if not await self.exists():
            return  # without a collection there is no point
        selector = models.Filter(
            must=[
                models.FieldCondition(
                    key="document_id", match=models.MatchAny(any=list(document_ids))
                )
            ]
        )
        with self._writing():
            await self._writes.delete(self._collection, selector, wait=True)

    async def search(
        self, legs: Legs, visible: models.Filter, counted: models.Filter, limit: int
    ) -> list[Hit]:
        """The best `limit` chunks, best first, each with its score on every leg that ran.

        Words are weighed by how many chunks of `counted` have them. The fusion is Qdrant's. A fused
        score says nothing of how near a chunk is, so the legs are then asked to score what was
        found: a fused search costs a second, small round trip.
        """
        params = {SPARSE: models.SearchParams(idf=models.IdfCorpusParams(corpus=counted))}
        if self._storage and self._storage.quantization != "none":
            # Scores are those of the whole vectors: the copy only chooses candidates.
            params[DENSE] = models.SearchParams(
                quantization=models.QuantizationSearchParams(
                    rescore=True, oversampling=self._storage.oversampling
                )
            )
        vectors: dict[str, models.Query] = {}
        if legs.mode is not Mode.SPARSE:
            assert legs.dense is not None
            vectors[DENSE] = models.NearestQuery(nearest=legs.dense)
        if legs.mode is not Mode.DENSE:
            vectors[SPARSE] = models.NearestQuery(nearest=legs.sparse)
        with reaching():
            if legs.mode is Mode.HYBRID:
                return await self._fused(vectors, params, legs, visible, limit)
            ((using, query),) = vectors.items()
            answer = await self._reads.query_points(
                self._collection,
                query=query,
                using=using,
                query_filter=visible,
                search_params=params.get(using),
                limit=limit,
            )
            scores = {using: {str(point.id): point.score for point in answer.points}}
            return [hit(point, scores) for point in answer.points]

    async def _fused(
        self,
        vectors: Mapping[str, models.Query],
        params: Mapping[str, models.SearchParams],
        legs: Legs,
        visible: models.Filter,
        limit: int,
    ) -> list[Hit]:
        prefetch = max(limit, legs.prefetch)
        found = await self._reads.query_points(
            self._collection,
            prefetch=[
                models.Prefetch(
                    query=query,
                    using=using,
                    filter=visible,
                    params=params.get(using),
                    limit=prefetch,
                )
                for using, query in vectors.items()
            ],
            query=legs.fusion,
            limit=limit,
        )
        if not found.points:
            return []
        these = models.Filter(
            must=[models.HasIdCondition(has_id=[point.id for point in found.points])]
        )
        answers = await self._reads.query_batch_points(
            self._collection,
            [
                models.QueryRequest(
                    query=query,
                    using=using,
                    filter=these,
                    params=params.get(using),
                    limit=limit,
                    with_payload=False,
                )
                for using, query in vectors.items()
            ],
        )
        scores = {
            using: {str(point.id): point.score for point in answer.points}
            for using, answer in zip(vectors, answers, strict=True)
        }
        return [hit(point, scores) for point in found.points]
