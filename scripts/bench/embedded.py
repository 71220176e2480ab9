"""Embedded Qdrant as the client ships it, and as the retriever makes it quick: one hybrid search.

python -m bench.embedded [--sizes 1000,20000] [--searches 20]
"""

import asyncio
import os
import statistics
import time
from typing import Annotated, Any
from uuid import UUID

import numpy as np
import typer
from qdrant_client import QdrantClient, models
from rich.console import Console
from rich.table import Table

from bulkhead.auth import Principal, Role
from retriever.index.access import visible_points
from retriever.index.collection import Stamp
from retriever.index.connect import Connection
from retriever.index.corpus import FIELD, corpus, marks
from retriever.index.model import Mode
from retriever.index.points import DENSE, SPARSE
from retriever.index.quick import CALLS, hasten
from retriever.index.vectors import Legs, Vectors

DIMENSION = 384
_VOCABULARY = 30_000
_TERMS = 80  # distinct ones of a chunk
READER = Principal("reader", "t", frozenset(), Role.READER)


class _Awaitable:
    """The synchronous client behind the async client's methods, without a thread."""

    def __init__(self, client: QdrantClient, quick: bool) -> None:
        self._client = client
        self._calls = CALLS if quick else {}

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if name in self._calls:
                return self._calls[name](self._client, *args, **kwargs)
            return getattr(self._client, name)(*args, **kwargs)

        return call


def terms(rng: np.random.Generator, count: int) -> models.SparseVector:
    """Terms as frequent as words are: the n-th as often as 1/n."""
    drawn = np.unique(rng.zipf(1.2, size=count * 3) % _VOCABULARY)[:count]
    return models.SparseVector(indices=drawn.tolist(), values=[1.0] * len(drawn))


def points(rng: np.random.Generator, size: int, first: int = 0) -> list[models.PointStruct]:
    """So many made-up chunks, numbered from `first`."""
    payload: dict[str, Any] = {
        "tenant": "t", "groups": ["*"], "document_id": "d", "title": "t", "source": "s",
        "page": None, "page_breaks": [], "start": 0, "end": 1, "text": "x" * 800, "metadata": {},
    }  # fmt: skip
    tenant = str(payload["tenant"])
    return [
        models.PointStruct(
            id=number,
            vector={DENSE: rng.normal(size=DIMENSION).tolist(), SPARSE: terms(rng, _TERMS)},
            payload={**payload, FIELD: marks(tenant, (), str(UUID(int=number)))},
        )
        for number in range(first, first + size)
    ]


async def measure(size: int, searches: int) -> tuple[float, float]:
    """Median milliseconds of a core that a search takes with each, in turns."""
    rng = np.random.default_rng(size)
    made = points(rng, size)
    kinds = []
    for quick in (False, True):
        client: Any = QdrantClient(":memory:")
        asked: Any = _Awaitable(client, quick)
        vectors = Vectors(Connection(asked, asked), "chunks")
        await vectors.ensure(Stamp("m", "r", DIMENSION, "s"))
        if quick:
            hasten(client._client.collections["chunks"])
        client.upload_points("chunks", made)
        kinds.append((vectors, list[float]()))
    fusion = models.FusionQuery(fusion=models.Fusion.DBSF)
    for n in range(searches + 1):
        dense = rng.normal(size=DIMENSION).tolist()
        legs = Legs(Mode.HYBRID, dense, terms(rng, 8), 200, fusion)
        for vectors, taken in kinds:
            started = time.process_time()
            await vectors.search(legs, visible_points(READER), corpus(READER, size), 10)
            if n:  # the first one warms up
                taken.append((time.process_time() - started) * 1000)
    plain, hastened = (statistics.median(taken) for _, taken in kinds)
    return plain, hastened


def main(
    sizes: Annotated[str, typer.Option(help="Chunks in the index.")] = "1000,20000",
    searches: Annotated[int, typer.Option(min=3)] = 20,
) -> None:
    """Measure and print."""
    table = Table(title="one hybrid search, top 10 of 200 a leg, median milliseconds of a core")
    for column in ("chunks", "as shipped", "made quick", "times"):
        table.add_column(column, justify="right")
    for size in map(int, sizes.split(",")):
        plain, quick = asyncio.run(measure(size, searches))
        table.add_row(f"{size:,}", f"{plain:.1f}", f"{quick:.1f}", f"{plain / quick:.0f}")
    console = Console()
    console.print(table)
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    typer.run(main)
