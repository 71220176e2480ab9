"""A Qdrant server for tests: the stand-in of the stack's tests, on a port of loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_standin import Standin

from bulkhead.auth import Principal, Role
from retriever.index.access import visible_points
from retriever.index.collection import Stamp
from retriever.index.connect import Server
from retriever.index.corpus import corpus
from retriever.index.model import Addition, ChunkSpan, Mode, NewDocument
from retriever.index.sparse import BM25
from retriever.index.vectors import Legs, Vectors

KEY = "key-of-a-test"
ADMIN = Principal("k1", "acme", frozenset(), Role.ADMIN)
STAMP = Stamp("model", "1", 3, "bm25")
BM = BM25("english", 1.2, 0.75, 10.0)
LEGS = Legs(
    Mode.HYBRID,
    [1.0, 0.0, 0.0],
    BM.query("canary"),
    100,
    models.FusionQuery(fusion=models.Fusion.DBSF),
)


@contextmanager
def serving_qdrant(client: QdrantClient | None = None, **options: Any) -> Iterator[Standin]:
    """A server until the block ends, with what `client` holds, which outlives it if given."""
    standin = Standin(client or QdrantClient(":memory:"), KEY, **options)
    try:
        yield standin
    finally:
        standin.stop()


def reached(
    *standins: Standin, key: str = KEY, read_timeout: int = 60, write_timeout: int = 60
) -> Server:
    """How the retriever reaches it, or the nodes of a cluster."""
    urls = tuple(f"http://127.0.0.1:{standin.port}" for standin in standins)
    return Server(urls, key, read_timeout, write_timeout)


def addition(*texts: str, **metadata: Any) -> Addition:
    text = "".join(texts)
    spans, start = [], 0
    for one in texts:
        spans.append(ChunkSpan(start, start + len(one), None, ""))
        start += len(one)
    new = NewDocument("d", "a", "a", "text/plain", (), metadata, text, (), spans)
    return Addition(ADMIN, new, [[1.0, 0.0, 0.0]] * len(texts), BM.documents(list(texts)))


async def search(chunks: Vectors, limit: int = 10) -> list[str]:
    hits = await chunks.search(LEGS, visible_points(ADMIN), corpus(ADMIN, 1), limit)
    return [hit.text for hit in hits]
