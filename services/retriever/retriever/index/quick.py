"""Embedded Qdrant's search, with an inverted index and remembered filters.

`qdrant_client`'s local mode is written to be plain: each sparse query walks through every stored
vector, and each filter through every payload, in Python. With 20,000 chunks a hybrid search takes
2,074 ms of a core as shipped and 33 ms here (`bench.embedded`). The results are the same, by the
same rules; only what does not change between two queries is kept between them. There is no public
way to do this: it overrides methods of the pinned version, and a property test compares the two.
"""

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models
from qdrant_client.local import datetime_utils
from qdrant_client.local.local_collection import LocalCollection
from qdrant_client.local.payload_filters import calculate_payload_mask
from qdrant_client.local.sparse import sort_sparse_vector, validate_sparse_vector

_MOST_FILTERS = 64
"""Filters whose rows are remembered, one byte a chunk each: those of the principals who search."""

datetime_utils.parse = lru_cache(maxsize=2**14)(datetime_utils.parse)
"""It tries 15 forms, 175 µs for a date without a time, which each chunk of a document has."""

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float32]


class Postings:
    """The inverted index of one sparse vector: for each term, in which rows with which weight."""

    def __init__(self) -> None:
        self._terms: dict[int, tuple[array[int], array[float]]] = {}
        self._rows = 0

    def extend(self, vectors: list[models.SparseVector]) -> None:
        """Take in the rows of `vectors` that are new since the last time."""
        for row in range(self._rows, len(vectors)):
            vector = vectors[row]
            for term, weight in zip(vector.indices, vector.values, strict=True):
                rows, weights = self._terms.setdefault(term, (array("q"), array("d")))
                rows.append(row)
                weights.append(weight)
        self._rows = len(vectors)

    def frequency(self, term: int, among: npt.NDArray[Any]) -> int:
        """How many of the rows that `among` selects have the term."""
        if term not in self._terms:
            return 0
        rows = np.frombuffer(self._terms[term][0], dtype=np.int64)
        return int(np.count_nonzero(among[rows]))

    def scores(self, query: models.SparseVector, count: int) -> Scores:
        """The dot product of `query` with each of `count` rows; minus infinity without a term."""
        sums, found = np.zeros(count), np.zeros(count, dtype=bool)
        for term, weight in zip(query.indices, query.values, strict=True):
            if term in self._terms:
                held, weights = self._terms[term]
                rows = np.frombuffer(held, dtype=np.int64)
                sums[rows] += weight * np.frombuffer(weights)
                found[rows] = True
        return np.where(found, sums, -np.inf).astype(np.float32)


class QuickCollection(LocalCollection):
    """A `LocalCollection` whose nearest searches remember; made of one by `hasten`."""

    _postings: dict[str, Postings]
    _masks: OrderedDict[bytes, Mask]

    def forget(self) -> None:
        """Begin anew, after a row that was there has changed."""
        self._postings, self._masks = {}, OrderedDict()

    def search(
        self,
        query_vector: Any,
        query_filter: models.Filter | None = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        score_threshold: float | None = None,
        idf_corpus: models.Filter | None = None,
    ) -> list[models.ScoredPoint]:
        """The nearest points. Whatever is no plain nearest search is the parent's."""
        name, vector = self._resolve_query_vector_name(query_vector)
        plain = not offset and score_threshold is None
        if plain and isinstance(vector, models.SparseVector) and name in self.sparse_vectors:
            scores = self._sparse_scores(name, vector, idf_corpus)
        elif (
            plain and self._is_cosine(name) and isinstance(vector, np.ndarray) and vector.ndim == 1
        ):
            # Stored vectors have unit length; the parent divides all of them again each time.
            # In their own precision: NumPy would turn them all into the wider one of the query.
            norm = np.float32(np.linalg.norm(vector) or 1.0)
            unit = vector.astype(np.float32) / norm
            scores = self.vectors[name][: len(self.payload)] @ unit
        else:
            found: list[models.ScoredPoint] = super().search(
                query_vector,
                query_filter,
                limit,
                offset,
                with_payload,
                with_vectors,
                score_threshold,
                idf_corpus,
            )
            return found
        mask = self._payload_and_non_deleted_mask(query_filter, vector_name=name)
        scores = np.where(mask, scores, -np.inf)
        best = _best(scores, limit)
        return [
            models.ScoredPoint(  # three times as quick as `model_construct`, of all things
                id=self.ids_inv[row],
                score=score,
                version=0,
                payload=self._get_payload(row, with_payload),
                vector=cast(Any, self._get_vectors(row, with_vectors)),
            )
            for row, score in zip(best.tolist(), scores[best].tolist(), strict=True)
        ]

    def _is_cosine(self, name: str) -> bool:
        return (
            name in self.vectors and self.get_vector_params(name).distance == models.Distance.COSINE
        )

    def _sparse_scores(
        self, name: str, vector: models.SparseVector, idf_corpus: models.Filter | None
    ) -> Scores:
        validate_sparse_vector(vector)
        if (self.config.sparse_vectors or {})[name].modifier == models.Modifier.IDF:
            vector = self._rescore_idf(vector, name, idf_corpus)
        return self._posted(name).scores(sort_sparse_vector(vector), len(self.payload))

    def _posted(self, name: str) -> Postings:
        postings = self._postings.setdefault(name, Postings())
        postings.extend(self.sparse_vectors[name][: len(self.payload)])
        return postings

    def _corpus_document_frequencies(
        self, vector_name: str, indices: Sequence[int], mask: npt.NDArray[Any]
    ) -> dict[int, int]:
        postings = self._posted(vector_name)
        return {term: postings.frequency(term, mask) for term in indices}

    def _payload_and_non_deleted_mask(
        self, payload_filter: models.Filter | None, vector_name: str | None = None
    ) -> Mask:
        mask = self._mask(payload_filter) & ~self.deleted.astype(bool)
        if vector_name is not None:
            mask = mask & ~self.deleted_per_vector[vector_name].astype(bool)
        return cast(Mask, mask)

    def _mask(self, payload_filter: models.Filter | None) -> Mask:
        """Which rows the filter accepts, whether they are deleted or not."""
        count = len(self.payload)
        if payload_filter is None:
            return np.ones(count, dtype=bool)
        if ids := _ids_alone(payload_filter):
            named = np.zeros(count, dtype=bool)
            named[[self.ids[one] for one in ids if one in self.ids]] = True
            return named
        # Its digest: what a caller filters by may be long, and is nobody's to keep.
        key = hashlib.sha256(payload_filter.model_dump_json().encode()).digest()
        known = self._masks.get(key, np.zeros(0, dtype=bool))
        if len(known) < count:
            rest = calculate_payload_mask(
                self.payload[len(known) :],
                payload_filter,
                self.ids_inv[len(known) :],
                {name: gone[len(known) :] for name, gone in self.deleted_per_vector.items()},
            )
            known = np.concatenate([known, rest])
        self._masks[key] = known
        self._masks.move_to_end(key)
        while len(self._masks) > _MOST_FILTERS:
            self._masks.popitem(last=False)
        return known

    def _get_payload(
        self, idx: int, with_payload: Any = True, return_copy: bool = True
    ) -> models.Payload:
        """The payload itself: whoever finds it here only reads it."""
        return super()._get_payload(idx, with_payload, return_copy=False)

    def _update_point(self, point: models.PointStruct) -> None:
        super()._update_point(point)
        self.forget()


def query_points(client: QdrantClient, collection_name: str, **query: Any) -> models.QueryResponse:
    """`QdrantClient.query_points`, for queries that are vectors.

    It copies each query as it looks for ids in it and for texts to embed, which takes as long as
    the search.
    """
    return _collection(client, collection_name).query_points(**query)


def query_batch_points(
    client: QdrantClient, collection_name: str, requests: Sequence[models.QueryRequest]
) -> list[models.QueryResponse]:
    """`QdrantClient.query_batch_points`, likewise."""
    return [
        query_points(
            client,
            collection_name,
            query=one.query,
            using=one.using,
            query_filter=one.filter,
            search_params=one.params,
            limit=one.limit,
            with_payload=one.with_payload,
        )
        for one in requests
    ]


CALLS: dict[str, Callable[..., Any]] = {
    "query_points": query_points,
    "query_batch_points": query_batch_points,
}
"""By name, what to call instead of a `QdrantClient`'s own method, the client first."""


def _collection(client: QdrantClient, name: str) -> LocalCollection:
    local: Any = client._client
    return cast(LocalCollection, local.collections[name])


def hasten(collection: LocalCollection) -> None:
    """Make it a `QuickCollection`, unless it is one."""
    if not isinstance(collection, QuickCollection):
        collection.__class__ = QuickCollection
        cast(QuickCollection, collection).forget()


def _best(scores: Scores, limit: int) -> npt.NDArray[np.intp]:
    """The rows of the highest scores, highest first, none of minus infinity among them.

    Those are put aside first: among many equal values a partition takes sixteen times as long.
    """
    rows = np.flatnonzero(scores != -np.inf)
    if limit < len(rows):
        rows = rows[np.argpartition(scores[rows], -limit)[-limit:]]
    return rows[np.argsort(scores[rows])[::-1]]


def _ids_alone(payload_filter: models.Filter) -> list[Any] | None:
    """The ids of a filter that asks for nothing but ids."""
    must = payload_filter.must
    others = payload_filter.should or payload_filter.must_not or payload_filter.min_should
    if others or not isinstance(must, list) or len(must) != 1:
        return None
    (only,) = must
    return list(only.has_id) if isinstance(only, models.HasIdCondition) else None
