"""A chunk as a point in Qdrant: its id, its two vectors and its payload."""

import uuid
from collections.abc import Iterator, Mapping

from qdrant_client import models

from retriever.index import corpus
from retriever.index.access import EVERYONE
from retriever.index.model import Addition, Hit, Scores

DENSE, SPARSE = "dense", "sparse"
LAYOUT = 2
"""Version of a point's vectors and payload; raised when a release writes them differently."""


def point_id(document_id: str, n: int) -> str:
    """The id of a document's chunk `n`, the same at every ingestion: Qdrant wants a UUID."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{document_id}:{n}"))


def points_of(addition: Addition) -> Iterator[models.PointStruct]:
    """A document's chunks as points."""
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


def hit(point: models.ScoredPoint, scores: Mapping[str, Mapping[str, float]]) -> Hit:
    """The chunk that a point is; `scores` are those of each leg, by the point's id."""
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
