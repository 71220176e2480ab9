"""Embedded Qdrant made quick finds what embedded Qdrant finds, whatever was written before."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from qdrant_client import QdrantClient, models

from retriever.index.quick import QuickCollection, hasten, query_batch_points, query_points

_NAME = "chunks"
_TENANTS = ("one", "other")

_weights = st.floats(0.25, 4, width=16)
_sparse = st.dictionaries(st.integers(0, 6), _weights, max_size=4)
_dense = st.lists(st.integers(-4, 4), min_size=3, max_size=3)
_writes = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), st.integers(0, 9), st.sampled_from(_TENANTS), _dense, _sparse),
        st.tuples(st.just("delete"), st.integers(0, 9)),
        st.tuples(st.just("search"), st.sampled_from(_TENANTS), _dense, _sparse),
    ),
    max_size=25,
)


def _client(*, quick: bool) -> QdrantClient:
    client = QdrantClient(":memory:")
    client.create_collection(
        _NAME,
        vectors_config={"dense": models.VectorParams(size=3, distance=models.Distance.COSINE)},
        sparse_vectors_config={"sparse": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    if quick:
        local: Any = client._client
        hasten(local.collections[_NAME])
        assert isinstance(local.collections[_NAME], QuickCollection)
    return client


def _of(tenant: str) -> models.Filter:
    return models.Filter(
        must=[models.FieldCondition(key="tenant", match=models.MatchValue(value=tenant))]
    )


def _params(counted: models.Filter) -> models.SearchParams:
    return models.SearchParams(idf=models.IdfCorpusParams(corpus=counted))


def _vector(weights: dict[int, float]) -> models.SparseVector:
    return models.SparseVector(indices=list(weights), values=list(weights.values()))


def _found(
    client: QdrantClient,
    query: Any,
    using: str,
    only: models.Filter,
    counted: models.Filter | None = None,
) -> dict[Any, Any]:
    """All that is found: a point's score and payload."""
    answer = client.query_points(
        _NAME,
        query=query,
        using=using,
        query_filter=only,
        search_params=_params(counted) if counted else None,
        limit=50,
    )
    scores = [point.score for point in answer.points]
    assert scores == sorted(scores, reverse=True)
    return {
        point.id: (pytest.approx(point.score, abs=1e-5), point.payload) for point in answer.points
    }


@settings(max_examples=60)
@given(_writes)
def test_it_finds_the_same_with_the_same_scores(steps: list[tuple[Any, ...]]) -> None:
    plain, quick = _client(quick=False), _client(quick=True)
    for kind, *step in [
        *steps,
        *(("search", tenant, [1, 2, 3], {1: 1.0, 2: 1.0}) for tenant in _TENANTS),
    ]:
        if kind == "search":
            tenant, dense, sparse = step
            ids = models.Filter(must=[models.HasIdCondition(has_id=[1, 2, 77])])
            for only in (_of(tenant), ids):
                for query, using, counted in (
                    (dense, "dense", None),
                    (_vector(sparse), "sparse", None),
                    (_vector(sparse), "sparse", _of(tenant)),
                ):
                    found = _found(quick, query, using, only, counted)
                    assert found == _found(plain, query, using, only, counted)
            continue
        for client in (plain, quick):
            if kind == "delete":
                client.delete(_NAME, models.PointIdsList(points=step))
            else:
                number, tenant, dense, sparse = step
                vector: Any = {"dense": dense, "sparse": _vector(sparse)}
                point = models.PointStruct(id=number, vector=vector, payload={"tenant": tenant})
                client.upsert(_NAME, [point])


@pytest.mark.parametrize(
    "fusion", [models.FusionQuery(fusion=models.Fusion.DBSF), models.RrfQuery(rrf=models.Rrf(k=15))]
)
def test_a_fused_search_without_its_copies_finds_the_same(
    fusion: models.FusionQuery | models.RrfQuery,
) -> None:
    rng = np.random.default_rng(0)  # no two scores are alike, which the order could turn on
    clients = _client(quick=False), _client(quick=True)
    for number in range(80):
        sparse = dict(enumerate(rng.uniform(1, 4, size=int(rng.integers(1, 6))).tolist()))
        vector: Any = {"dense": rng.normal(size=3).tolist(), "sparse": _vector(sparse)}
        payload = {"tenant": _TENANTS[number % 2]}
        for client in clients:
            client.upsert(_NAME, [models.PointStruct(id=number, vector=vector, payload=payload)])
    plain, quick = clients
    dense = models.NearestQuery(nearest=rng.normal(size=3).tolist())
    sparse_query = models.NearestQuery(nearest=_vector({0: 1.5, 3: 0.5}))
    legs = [
        models.Prefetch(
            query=query, using=using, filter=_of("one"), limit=25, params=_params(_of("one"))
        )
        for query, using in ((dense, "dense"), (sparse_query, "sparse"))
    ]
    expected = plain.query_points(_NAME, prefetch=legs, query=fusion, limit=12)
    found = query_points(quick, _NAME, prefetch=legs, query=fusion, limit=12)
    assert [point.id for point in found.points] == [point.id for point in expected.points]
    assert [point.payload for point in found.points] == [one.payload for one in expected.points]
    scores = [point.score for point in expected.points]
    assert [point.score for point in found.points] == pytest.approx(scores, abs=1e-5)
    requests = [
        models.QueryRequest(query=dense, using="dense", filter=_of("other"), limit=5),
        models.QueryRequest(
            query=sparse_query, using="sparse", limit=5, params=_params(_of("other"))
        ),
    ]
    alone = query_batch_points(quick, _NAME, requests)
    again = plain.query_batch_points(_NAME, requests)
    for one, other, request in zip(alone, again, requests, strict=True):
        assert [point.id for point in one.points] == [point.id for point in other.points]
        assert [point.score for point in one.points] == pytest.approx(
            [point.score for point in other.points], abs=1e-5
        )
        assert {point.payload is None for point in one.points} == {not request.with_payload}


def test_the_best_come_first_and_no_more_than_asked_for() -> None:
    client = _client(quick=True)
    for number in range(1, 30):
        vector: Any = {"dense": [1.0, number, 0.0]}
        client.upsert(_NAME, [models.PointStruct(id=number, vector=vector, payload={})])
    answer = client.query_points(_NAME, query=[1.0, 0.0, 0.0], using="dense", limit=3)
    assert [point.id for point in answer.points] == [1, 2, 3]


def test_remembered_filters_are_bounded() -> None:
    client = _client(quick=True)
    client.upsert(_NAME, [models.PointStruct(id=1, vector={"dense": [1.0, 0, 0]}, payload={})])
    for number in range(200):
        _found(client, [1.0, 0, 0], "dense", _of(f"{number} " * 10_000))
    local: Any = client._client
    masks = local.collections[_NAME]._masks
    assert len(masks) == 64
    assert sum(len(key) + mask.nbytes for key, mask in masks.items()) == 64 * 33
