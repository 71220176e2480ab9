"""Many answers at once: the first word, the gaps, words a second, and what a word costs.

A scripted model streams fixed words at a fixed rate (`bench.scripted`). The same streams are also
read from the model directly, as a control: what it is late by is the machine's. With `--beside`
the services of another checkout are measured too, by turns, so that ratios hold on a busy machine.

    python -m bench.streams --data ../shared/data/squad [--streams 200] [--rate 10] [--beside DIR]
"""

import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import aiohttp
import orjson
import typer
from rich.console import Console
from rich.table import Table

from bench.ingest import KEY, documents, ingest, until_ready
from bench.scripted import FIRST_SECONDS, HEADERS, Stack, stack
from embedded.parts import ROOT
from evaluation.beir import Dataset, load
from evaluation.client import RetrieverClient
from evaluation.report import provenance, write


@dataclass
class Stream:
    """When an answer's words came, in milliseconds from the request, and what the end told."""

    words: list[float] = field(default_factory=list)
    """Of each event with words; several that came to the retriever at once may be one."""
    text: str = ""
    timings: dict[str, float] = field(default_factory=dict)

    def overhead(self) -> float:
        """Of the first word: without embedding, Qdrant and the model's own time."""
        stages = self.timings["embed"] + self.timings["search"]
        return self.words[0] - stages - FIRST_SECONDS * 1000

    def gaps(self) -> list[float]:
        """Milliseconds between words."""
        return [after - before for before, after in itertools.pairwise(self.words)]


async def stream(http: aiohttp.ClientSession, url: str, question: str, words: int) -> Stream:
    """One streamed answer of so many words, from the retriever or from the model itself."""
    body = {
        "model": "scripted",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": words,
        "stream": True,
    }
    came = Stream()
    started = time.perf_counter()
    async with http.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS) as reply:
        reply.raise_for_status()
        async for line in reply.content:
            if b'"content":"' in line and b'"content":""' not in line:
                came.words.append((time.perf_counter() - started) * 1000)
                (choice,) = orjson.loads(line.removeprefix(b"data: "))["choices"]
                came.text += choice["delta"]["content"]
            elif b'"timings":' in line:
                came.timings = orjson.loads(line.removeprefix(b"data: "))["timings"]
    return came


async def streams(
    http: aiohttp.ClientSession,
    side: Stack,
    url: str,
    number: int,
    words: int,
    questions: Iterator[str],
) -> dict[str, float]:
    """So many answers at once, begun over a second; what they were like."""

    async def one(n: int) -> Stream:
        await asyncio.sleep(n / number)
        return await stream(http, url, next(questions), words)

    spent, started = sum(side.process.cpu_times()[:2]), time.perf_counter()
    came = await asyncio.gather(*(one(n) for n in range(number)))
    took = time.perf_counter() - started
    spent = sum(side.process.cpu_times()[:2]) - spent
    assert all(len(one.text.split()) >= words for one in came), "an answer was cut short"
    gaps = [gap for one in came for gap in one.gaps()]
    begun = [one.words[0] for one in came]
    return {
        "first word p50": statistics.median(begun),
        "p95": percentile(begun, 95),
        "gap p50": statistics.median(gaps),
        "gap p99": percentile(gaps, 99),
        "longest": max(gaps),
        "words a second": number * words / took,
        "CPU a word": spent / (number * words) * 1000,
        "events": float(sum(len(one.words) for one in came)),
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """A percentile of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


async def measure(
    sides: dict[str, Stack], dataset: Dataset, number: int, words: int, rounds: int
) -> dict[str, dict[str, float]]:
    """For the model itself and each side, medians over the rounds."""
    for side in sides.values():
        await until_ready(side.embedding)
        await until_ready(side.retriever)
        async with RetrieverClient(side.retriever, KEY, timeout=600) as client:
            await ingest(client, documents(dataset, 40, "bench"))
    # Twenty questions, asked again and again: it is about streams, not about Qdrant.
    asked = itertools.cycle([query.text for query in dataset.queries.values()][:20])
    ours = next(iter(sides.values()))
    sources = {"the model": (ours, ours.model)}
    sources |= {name: (side, side.retriever) for name, side in sides.items()}
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in sources}
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(600)
    ) as http:
        for side in sides.values():  # warms up
            await streams(http, side, side.retriever, 20, 8, asked)
        for turn in range(rounds):
            order = list(sources.items())
            for name, (side, url) in reversed(order) if turn % 2 else order:
                seen[name].append(await streams(http, side, url, number, words, asked))
    return {
        name: {key: statistics.median(one[key] for one in all_) for key in all_[0]}
        for name, all_ in seen.items()
    }


def main(
    data: Annotated[Path, typer.Option(help="A BEIR folder: documents and questions.")],
    number: Annotated[int, typer.Option("--streams", help="Answers at once.")] = 200,
    rate: Annotated[float, typer.Option(help="Words a second of each answer.")] = 10.0,
    seconds: Annotated[float, typer.Option(help="Length of an answer.")] = 10.0,
    rounds: int = 1,
    beside: Annotated[list[Path] | None, typer.Option(help="Another checkout, too.")] = None,
    port: Annotated[int, typer.Option(help="First of three free ports for each side.")] = 18090,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
) -> None:
    """Measure and print."""
    console = Console()
    checkouts = {"the retriever": ROOT} | {one.name: one for one in beside or ()}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        sides = {}
        for n, (name, checkout) in enumerate(checkouts.items()):
            place = Path(folder) / str(n)
            place.mkdir()
            sides[name] = running.enter_context(stack(place, port + 4 * n, rate, checkout))
        words = round(rate * seconds)
        result = asyncio.run(measure(sides, load(data), number, words, rounds))
    table = Table(title=f"{number} streams of {words} words at {rate:g} a second, ms")
    table.add_column("from")
    for column in result["the model"]:
        table.add_column(column, justify="right")
    for name, values in result.items():
        cells = [f"{value:,.2f}".removesuffix(".00") for value in values.values()]
        table.add_row(name, *cells)
    console.print(table)
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if out is not None:
        write(out, {"provenance": provenance(), **result})


if __name__ == "__main__":
    typer.run(main)
