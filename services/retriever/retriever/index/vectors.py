"""The chunks in Qdrant: one collection, a dense and a sparse vector a point, fused by Qdrant."""

import logging
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from grpc.aio import AioRpcError
from qdrant_client import models

from bulkhead.errors import Unavailable
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import INDEX_REFUSES
from retriever.index import corpus
from retriever.index.access import EVERYONE
from retriever.index.connect import Connection
from retriever.index.filters import Kind
from retriever.index.model import Addition, Hit, Mode, Scores
from retriever.index.reaching import reaching

logger = logging.getLogger(__name__)

DENSE, SPARSE = "dense", "sparse"
LAYOUT = 2
"""Version of a point's vectors and payload; raised when a release writes them differently."""

_KEYWORD = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD)
_INDEXES = {
    "tenant": _KEYWORD.model_copy(update={"is_tenant": True}),
    "groups": _KEYWORD,
    "document_id": _KEYWORD,
    "source": _KEYWORD,
    corpus.FIELD: _KEYWORD,
}
_OF_KIND: dict[Kind, models.PayloadSchemaParams] = {
    Kind.KEYWORD: _KEYWORD,
    # Of integers alone it would hold no 1.5, and then find none.
    Kind.NUMBER: models.FloatIndexParams(type=models.FloatIndexType.FLOAT),
    Kind.DATETIME: models.DatetimeIndexParams(type=models.DatetimeIndexType.DATETIME),
    Kind.BOOL: models.BoolIndexParams(type=models.BoolIndexType.BOOL),
}
_METADATA = "metadata."
_QDRANT = {names.DB_SYSTEM: "qdrant"}
_OLDEST_SERVER = (1, 19)
"""The first that counts a word's frequency in what the caller may see, and not in all there is."""
_BATCH = 16
"""Points of one write: a search that waits behind it waits for milliseconds."""


class IndexMismatchError(Exception):
    """The index is not ours to use.

    Its server is too old, or it was written with another model or layout: mixing them would be
    silent rot.
    """


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a collection was written with. Everything here must match to read or write it."""

    model: str
    revision: str
    dimension: int
    sparse: str
    layout: int = LAYOUT

    def metadata(self) -> dict[str, Any]:
        """As the collection's metadata in Qdrant."""
        return {
            "model": self.model,
            "revision": self.revision,
            "dimension": self.dimension,
            "sparse": self.sparse,
            "layout": self.layout,
        }


@dataclass(frozen=True, slots=True)
class Storage:
    """How a Qdrant server keeps a new collection. One that is there keeps its own."""

    shard_number: int | None = None
    """None: as many as the cluster has nodes."""
    replication_factor: int = 1
    write_consistency_factor: int = 1
    vectors_on_disk: bool = False
    payload_on_disk: bool = True
    quantization: Literal["none", "scalar", "binary"] = "none"
    oversampling: float = 1.0

    def quantized(self) -> models.QuantizationConfig | None:
        """The smaller copy of the dense vectors: in memory, wherever the vectors are."""
        match self.quantization:
            case "scalar":
                scalar = models.ScalarQuantizationConfig(
                    type=models.ScalarType.INT8, quantile=0.99, always_ram=True
                )
                return models.ScalarQuantization(scalar=scalar)
            case "binary":
                return models.BinaryQuantization(
                    binary=models.BinaryQuantizationConfig(always_ram=True)
                )
        return None

    def differing(self, found: models.CollectionConfig) -> str:
        """In words, what a collection has otherwise; empty where nothing is."""
        params = found.params
        dense = params.vectors[DENSE] if isinstance(params.vectors, dict) else None
        kind = found.quantization_config
        pairs = {
            "shards": (params.shard_number, self.shard_number or params.shard_number),
            "replication factor": (params.replication_factor or 1, self.replication_factor),
            "write consistency factor": (
                params.write_consistency_factor or 1,
                self.write_consistency_factor,
            ),
            "vectors on disk": (bool(dense and dense.on_disk), self.vectors_on_disk),
            "payload on disk": (bool(params.on_disk_payload), self.payload_on_disk),
            "quantization": (
                next(iter(kind.model_fields_set)) if kind else "none",
                self.quantization,
            ),
        }
        return ", ".join(
            f"{what} {has}, now {set_}" for what, (has, set_) in pairs.items() if has != set_
        )


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
        self._indexes = _INDEXES | {
            _METADATA + key: _OF_KIND[kind] for key, kind in (kinds or {}).items()
        }
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
            _check_version((await self._reads.info()).version)
        if not await self.exists():
            await self._create(stamp)
        with reaching():
            info = await self._reads.get_collection(self._collection)
        self._check(info.config.metadata or {}, stamp.metadata())
        if self._storage and (differing := self._storage.differing(info.config)):
            self.differing = f"the collection keeps what it was made with: {differing}"
            logger.warning("the collection is kept otherwise than set", extra={"reason": differing})
        await self._index(info.payload_schema)
        INDEX_REFUSES.set(0, _QDRANT)

    async def _index(self, there: Mapping[str, models.PayloadIndexInfo]) -> None:
        """Make the payload indexes that are missing, once those of earlier settings are gone."""
        kinds = {field: info.data_type for field, info in there.items()}
        wanted = {
            field: models.PayloadSchemaType(params.type.value)
            for field, params in self._indexes.items()
        }
        for field in kinds:
            if field.startswith(_METADATA) and wanted.get(field) != kinds[field]:
                with self._writing():
                    await self._writes.delete_payload_index(self._collection, field, wait=True)
        for field, params in self._indexes.items():
            if kinds.get(field) != wanted[field]:
                with self._writing():
                    await self._writes.create_payload_index(self._collection, field, params)

    async def _create(self, stamp: Stamp) -> None:
        storage = self._storage or Storage()
        with reaching():
            try:
                await self._writes.create_collection(
                    self._collection,
                    vectors_config={
                        DENSE: models.VectorParams(
                            size=stamp.dimension,
                            distance=models.Distance.COSINE,
                            on_disk=storage.vectors_on_disk,
                        )
                    },
                    sparse_vectors_config={
                        SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)
                    },
                    shard_number=storage.shard_number,
                    replication_factor=storage.replication_factor,
                    write_consistency_factor=storage.write_consistency_factor,
                    on_disk_payload=storage.payload_on_disk,
                    quantization_config=storage.quantized(),
                    metadata=stamp.metadata(),
                )
            except AioRpcError:
                if not await self._reads.collection_exists(self._collection):
                    raise  # else another process was quicker

    def _check(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        differing = [key for key in wanted if found.get(key) != wanted[key]]
        if differing:
            details = ", ".join(
                f"{key} {found.get(key)!r}, now {wanted[key]!r}" for key in differing
            )
            raise IndexMismatchError(
                f"the collection {self._collection!r} was written {_by(differing)} ({details}); "
                "scripts/reindex.py writes another collection as it is told now; or set "
                "RETRIEVER_COLLECTION to another name and ingest the documents again, or go back "
                "to what it was written with"
            )

    async def upsert(self, additions: Sequence[Addition]) -> None:
        """Write every chunk of these documents."""
        points = [point for addition in additions for point in _points(addition)]
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
            return [_hit(point, scores) for point in answer.points]

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
        return [_hit(point, scores) for point in found.points]


def _by(differing: Sequence[str]) -> str:
    return "by another release" if differing == ["layout"] else "with other settings"


def _check_version(version: str) -> None:
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) < _OLDEST_SERVER:
        oldest = ".".join(map(str, _OLDEST_SERVER))
        raise IndexMismatchError(
            f"the Qdrant server is {version or 'of an unknown version'}, and {oldest} is the "
            "oldest that can be used: in an older one a score tells of other tenants' words"
        )


def point_id(document_id: str, n: int) -> str:
    """The id of a document's chunk `n`, the same at every ingestion: Qdrant wants a UUID."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{document_id}:{n}"))


def _points(addition: Addition) -> Iterator[models.PointStruct]:
    document = addition.document
    shared = {
        "tenant": addition.principal.tenant,
        "groups": list(document.groups or (EVERYONE,)),
        "document_id": document.id,
        "title": document.title,
        "source": document.source,
        "media_type": document.media_type,
        "metadata": document.metadata,
        "file_metadata": dict(document.file_metadata),
    }
    for n, chunk in enumerate(document.chunks):
        chunk_id = point_id(document.id, n)
        yield models.PointStruct(
            id=chunk_id,
            vector={DENSE: list(addition.dense[n]), SPARSE: addition.sparse[n]},
            payload={
                **shared,
                corpus.FIELD: corpus.marks(addition.principal.tenant, document.groups, chunk_id),
                "page": chunk.page,
                "heading": chunk.heading,
                "page_breaks": chunk.page_breaks,
                "table_header": chunk.table_header,
                "start": chunk.start,
                "end": chunk.end,
                "text": document.text[chunk.start : chunk.end],
            },
        )


def _hit(point: models.ScoredPoint, scores: dict[str, dict[str, float]]) -> Hit:
    chunk_id = str(point.id)
    payload = point.payload or {}
    return Hit(
        chunk_id=chunk_id,
        document_id=payload["document_id"],
        title=payload["title"],
        source=payload["source"],
        page=payload["page"],
        start=payload["start"],
        end=payload["end"],
        text=payload["text"],
        page_breaks=tuple(payload["page_breaks"]),
        table_header=payload.get("table_header", ""),  # releases before this one wrote none
        score=point.score,
        scores=Scores(
            dense=scores.get(DENSE, {}).get(chunk_id),
            sparse=scores.get(SPARSE, {}).get(chunk_id),
        ),
    )
