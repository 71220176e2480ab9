"""How Qdrant grows with its chunks, embedded or a server: a search, a write, memory, and a start.

    python -m bench.growth [--sizes 1000,5000,20000,50000,100000] [--plot FILE.svg]

Chunks are made up: random vectors of the bundled model's size, terms as frequent as words are.
Searches go through the retriever's own code and client: their times are what its stage `search`
says. Memory is this process's: with a server, its client's.
"""

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from qdrant_client import models
from rich.console import Console
from rich.table import Table

from bench.embedded import DIMENSION, READER, points, terms
from bulkhead.settings import read_secret
from evaluation.report import provenance, write
from loading.plots import Axis, Series, plot, save
from retriever.index.access import visible_points
from retriever.index.collection import Stamp
from retriever.index.connect import Server, connect
from retriever.index.corpus import corpus
from retriever.index.model import Mode
from retriever.index.vectors import Legs, Vectors

_COLLECTION = "bench-growth"
_BATCH = 64  # points of one write, as the retriever writes them
_FUSION = models.FusionQuery(fusion=models.Fusion.DBSF)


async def grow(
    sizes: list[int], searches: int, server: Server | None = None
) -> list[dict[str, float]]:
    """What each size costs, in ascending order; one index that is added to."""
    rng = np.random.default_rng(1)
    found, have = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for size in sorted(sizes):
            client = connect(server, Path(folder))
            vectors = Vectors(client, _COLLECTION)
            await vectors.ensure(Stamp("m", "r", DIMENSION, "s"))
            started = time.perf_counter()
            for first in range(have, size, _BATCH):
                batch = points(rng, min(_BATCH, size - first), first)
                await client.writes.upsert(_COLLECTION, batch, wait=True)
            written = (size - have) / (time.perf_counter() - started)
            have = size
            await client.close()

            before = psutil.Process().memory_info().rss
            started = time.perf_counter()
            client = connect(server, Path(folder))  # as a start finds it
            opened = time.perf_counter() - started
            vectors = Vectors(client, _COLLECTION)
            taken = await _searches(vectors, rng, size, searches)
            found.append(
                {
                    "chunks": size,
                    "search_p50": statistics.median(taken),
                    "search_p95": statistics.quantiles(taken, n=20)[-1],
                    "written_a_second": written,
                    "memory_mib": (psutil.Process().memory_info().rss - before) / 2**20,
                    "opened_seconds": opened,
                }
            )
            await client.close()
            del client, vectors
    return found


async def _searches(
    vectors: Vectors, rng: np.random.Generator, size: int, count: int
) -> list[float]:
    """Milliseconds of each of so many hybrid searches, after two that warm up."""
    taken = []
    for _ in range(count + 2):
        dense = rng.normal(size=DIMENSION).tolist()
        legs = Legs(Mode.HYBRID, dense, terms(rng, 8), 200, _FUSION)
        started = time.perf_counter()
        await vectors.search(legs, visible_points(READER), corpus(READER, size), 10)
        taken.append((time.perf_counter() - started) * 1000)
    return taken[2:]


def main(
    sizes: Annotated[
        str, typer.Option(help="Chunks in the index.")
    ] = "1000,5000,20000,50000,100000",
    searches: Annotated[int, typer.Option(min=3)] = 30,
    plotted: Annotated[Path | None, typer.Option("--plot", help="Draw the curve as SVG.")] = None,
    url: Annotated[
        str | None,
        typer.Option("--server", help="A server's gRPC address; none: embedded."),
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="File with the server's key.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
) -> None:
    """Measure and print. In a server it leaves the collection `bench-growth` behind."""
    key = read_secret(key_file) if key_file else None
    server = Server((url,), key, 60, 60) if url else None
    rows = asyncio.run(grow([int(size) for size in sizes.split(",")], searches, server))
    table = Table(title=f"{url or 'embedded Qdrant'}: a hybrid search of 10, 200 candidates a leg")
    for column in (
        "chunks",
        "search p50, ms",
        "p95",
        "written a second",
        "memory, MiB",
        "start, s",
    ):
        table.add_column(column, justify="right")
    for row in rows:
        size, *values = row.values()
        table.add_row(f"{size:,.0f}", *(f"{value:,.1f}" for value in values))
    console = Console()
    console.print(table)
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if plotted is not None:
        curves = [
            Series(name, [(row["chunks"], row[key]) for row in rows])
            for name, key in (("search p50", "search_p50"), ("p95", "search_p95"))
        ]
        save(plotted, plot(curves, Axis("chunks", log=True), Axis("milliseconds", log=True)))
    if out is not None:
        result: dict[str, Any] = {"provenance": provenance(), "rows": rows}
        write(out, result)


if __name__ == "__main__":
    typer.run(main)
