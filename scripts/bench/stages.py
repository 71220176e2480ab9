"""Where the time of a question goes, stage by stage, at several sizes of the index.

Run it against a scratch stack: it fills the index with documents of its own (`bench/…`).

    python -m bench.stages --data ../shared/data/squad --sizes 1000,20000
"""

import asyncio
import json
import random
import statistics
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from evaluation.beir import Dataset, load
from evaluation.client import RetrieverClient
from evaluation.report import provenance, write

NEIGHBOURS = ("embed", "search", "generate")
"""Stages that wait for the embedding service, Qdrant and the model; the rest is the retriever."""
_BATCH = 250
_WORDS = 40  # a document of one chunk, short so that 20,000 of them are embedded in minutes


async def fill(client: RetrieverClient, dataset: Dataset, size: int, console: Console) -> None:
    """Add one-chunk documents, drawn from the collection's words, up to `size` chunks in all."""
    words = " ".join(document.text for document in dataset.corpus.values()).split()
    for first in range(0, size, _BATCH):
        documents = []
        for n in range(first, min(first + _BATCH, size)):
            start = random.Random(n).randrange(len(words) - _WORDS)  # noqa: S311 - no secret
            text = " ".join(words[start : start + _WORDS])
            documents.append({"text": text, "source": f"bench/{n}", "title": f"Bench {n}"})
        job = await client.ingest(documents)
        async for state in client.follow(job.id):
            job = state
        if job.counts.failed:
            raise typer.Exit(1)
        console.print(f"  {first + len(documents)} chunks", end="\r")


async def ask(client: RetrieverClient, questions: list[str]) -> dict[str, list[float]]:
    """Each stage's milliseconds, question by question; the first, which warms up, left out."""
    stages: dict[str, list[float]] = {}
    for n, question in enumerate(questions):
        body = {"messages": [{"role": "user", "content": question}], "max_tokens": 48}
        reply = await client.chat(body)
        if n == 0 or "generate" not in reply.timings:
            continue
        for stage, milliseconds in reply.timings.items():
            stages.setdefault(stage, []).append(milliseconds)
        own = reply.timings["total"] - sum(reply.timings[stage] for stage in NEIGHBOURS)
        stages.setdefault("retriever", []).append(own)
    return stages


async def measure(
    url: str, key: str, dataset: Dataset, sizes: list[int], questions: int, console: Console
) -> dict[str, Any]:
    """The stages' percentiles at each size."""
    asked = [query.text for query in list(dataset.queries.values())[: questions + 1]]
    results: dict[str, Any] = {}
    async with RetrieverClient(url, key, timeout=300) as client:
        for size in sizes:
            await fill(client, dataset, size, console)
            stages = await ask(client, asked)
            results[str(size)] = {
                stage: {
                    "p50": round(statistics.median(values), 2),
                    "p95": round(sorted(values)[int(len(values) * 0.95)], 2),
                }
                for stage, values in stages.items()
            }
            table = Table(title=f"{size} chunks, {len(stages['total'])} questions, milliseconds")
            for column in ("stage", "p50", "p95"):
                table.add_column(column, justify="left" if column == "stage" else "right")
            for stage, value in results[str(size)].items():
                table.add_row(stage, f"{value['p50']:.1f}", f"{value['p95']:.1f}")
            console.print(table)
    return results


def main(
    data: Annotated[Path, typer.Option(help="A BEIR folder: words to fill with, questions.")],
    sizes: Annotated[str, typer.Option(help="Chunks in the index, growing.")] = "1000,20000",
    questions: Annotated[int, typer.Option(min=2)] = 30,
    url: str = "http://127.0.0.1:8080",
    key_file: Path = Path(".data/api-key"),
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
) -> None:
    """Measure the stages of a question at several sizes of the index."""
    steps = [int(size) for size in sizes.split(",")]
    key = key_file.read_text(encoding="utf-8").strip()
    results = asyncio.run(measure(url, key, load(data), steps, questions, Console()))
    if out is not None:
        write(out, {"provenance": provenance(), "stages": json.loads(json.dumps(results))})


if __name__ == "__main__":
    typer.run(main)
