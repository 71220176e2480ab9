"""What the retriever adds to its neighbours: to a search, and to the first word of an answer.

It starts a retriever, an embedding service and a scripted model of its own (`bench.scripted`). With
`--beside` the services of another checkout are measured too, by turns, so that ratios hold on a
busy machine. `bench.streams` measures many answers at once.

    python -m bench.retriever --data ../shared/data/squad [--levels 1,4,16] [--beside DIR]
"""

import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import orjson
import typer
from rich.console import Console
from rich.table import Table

from bench.ingest import KEY, documents, ingest, until_ready
from bench.scripted import FIRST_SECONDS, HEADERS, Stack, stack
from bench.streams import percentile, stream
from embedded.parts import ROOT
from evaluation.beir import Dataset, load
from evaluation.client import RetrieverClient
from evaluation.report import provenance, write
from loading.plots import Axis, Series, plot, save

_SEARCHES = 100  # of a round, or two a client where there are more
_CHATS = 40
Values = dict[str, float]


async def clients(number: int, count: int, call: Callable[[], Awaitable[None]]) -> float:
    """`count` calls by so many clients that send one after another; seconds that all took."""
    left = iter(range(count))

    async def client() -> None:
        for _ in left:
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(number)))
    return time.perf_counter() - started


@dataclass
class Searches:
    """Milliseconds of each search: as the client saw it, and the stages that the reply tells."""

    whole: list[float] = field(default_factory=list)
    embed: list[float] = field(default_factory=list)
    search: list[float] = field(default_factory=list)

    def overhead(self) -> list[float]:
        """What is neither embedding nor Qdrant, with the client's own time and the way there."""
        stages = zip(self.whole, self.embed, self.search, strict=True)
        return [whole - embed - search for whole, embed, search in stages]


async def search(
    http: aiohttp.ClientSession, side: Stack, number: int, questions: Iterator[str]
) -> Values:
    """A round of searches by `number` clients."""
    found = Searches()

    async def one() -> None:
        body = {"query": next(questions), "top_k": 10}
        started = time.perf_counter()
        async with http.post(f"{side.retriever}/v1/search", json=body, headers=HEADERS) as reply:
            text = await reply.read()
            reply.raise_for_status()
        found.whole.append((time.perf_counter() - started) * 1000)
        timings = orjson.loads(text)["timings"]
        found.embed.append(timings["embed"])
        found.search.append(timings["search"])

    count = max(_SEARCHES, 2 * number)
    spent = sum(side.process.cpu_times()[:2])
    seconds = await clients(number, count, one)
    spent = sum(side.process.cpu_times()[:2]) - spent  # Qdrant's included
    added = found.overhead()
    return {
        "a second": count / seconds,
        "p50": statistics.median(found.whole),
        "p95": percentile(found.whole, 95),
        "embed": statistics.median(found.embed),
        "qdrant": statistics.median(found.search),
        "added p50": statistics.median(added),
        "added p95": percentile(added, 95),
        "CPU": spent / count * 1000,
    }


async def first_words(http: aiohttp.ClientSession, side: Stack, questions: Iterator[str]) -> Values:
    """How late the first word is after embedding, Qdrant and the model's own time."""
    came = [await stream(http, side.retriever, next(questions), 8) for _ in range(_CHATS)]
    direct = [await stream(http, side.model, next(questions), 8) for _ in range(_CHATS)]
    added = [one.overhead() for one in came]
    late = [one.words[0] - FIRST_SECONDS * 1000 for one in direct]
    return {
        "added p50": statistics.median(added),
        "p95": percentile(added, 95),
        "the model alone, p50": statistics.median(late),
    }


async def measure(
    sides: dict[str, Stack], dataset: Dataset, count: int, levels: list[int], rounds: int
) -> tuple[dict[str, dict[str, Values]], dict[str, Values]]:
    """By number of clients and by side, medians over the rounds; and the first words by side."""
    for side in sides.values():
        await until_ready(side.embedding)
        await until_ready(side.retriever)
        async with RetrieverClient(side.retriever, KEY, timeout=600) as client:
            await ingest(client, documents(dataset, count, "bench"))
    texts = [query.text for query in dataset.queries.values()]
    fresh = (f"{text} {n}" for n in itertools.count() for text in texts)  # never asked before
    kinds: list[tuple[str, int, Iterator[str]]] = [(str(one), one, fresh) for one in levels]
    kinds.append(("4, asked before", 4, itertools.cycle(texts[:20])))
    seen: dict[str, dict[str, list[Values]]] = {
        kind: {name: [] for name in sides} for kind, _, _ in kinds
    }
    firsts: dict[str, list[Values]] = {name: [] for name in sides}
    # uvicorn closes what has been idle for five seconds: a request must not meet that.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(600)
    ) as http:
        for side in sides.values():
            await search(http, side, 4, fresh)  # warms up
        for turn in range(rounds):
            order = list(sides.items())
            for kind, number, questions in kinds:
                for name, side in reversed(order) if turn % 2 else order:
                    seen[kind][name].append(await search(http, side, number, questions))
            for name, side in order:
                firsts[name].append(await first_words(http, side, fresh))
    searches = {kind: _medians(of) for kind, of in seen.items()}
    return searches, _medians(firsts)


def _medians(seen: dict[str, list[Values]]) -> dict[str, Values]:
    """Over the rounds of each side."""
    return {
        name: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        for name, rounds in seen.items()
    }


def main(
    data: Annotated[Path, typer.Option(help="A BEIR folder: documents and questions.")],
    count: Annotated[int, typer.Option("--documents", min=1, max=1000)] = 300,
    levels: Annotated[str, typer.Option(help="Searching clients, round by round.")] = "1,4,16",
    rounds: int = 1,
    beside: Annotated[list[Path] | None, typer.Option(help="Another checkout, too.")] = None,
    port: Annotated[int, typer.Option(help="First of four free ports for each side.")] = 18090,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
    plotted: Annotated[
        Path | None, typer.Option("--plot", help="Draw the searches by clients as SVG.")
    ] = None,
) -> None:
    """Measure and print."""
    console = Console()
    checkouts = {"here": ROOT} | {one.name: one for one in beside or ()}
    steps = [int(level) for level in levels.split(",")]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        sides = {}
        for n, (name, checkout) in enumerate(checkouts.items()):
            place = Path(folder) / str(n)
            place.mkdir()
            sides[name] = running.enter_context(stack(place, port + 4 * n, 10.0, checkout))
        searches, firsts = asyncio.run(measure(sides, load(data), count, steps, rounds))
    console.print(_table(f"search over {count} documents, milliseconds", "clients", searches))
    console.print(_table("the first word, milliseconds late", "", {"": firsts}))
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if plotted is not None:
        rows = [(level, searches[str(level)]["here"]) for level in steps]
        curves = [
            Series(name, [(level, values[key]) for level, values in rows])
            for name, key in (
                ("searches a second", "a second"),
                ("p50, ms", "p50"),
                ("p95, ms", "p95"),
            )
        ]
        save(plotted, plot(curves, Axis("clients", log=True), Axis("a second, or ms", log=True)))
    if out is not None:
        result: dict[str, Any] = {"searches": searches, "first_word": firsts}
        write(out, {"provenance": provenance(), **result})


def _table(title: str, what: str, found: dict[str, dict[str, Values]]) -> Table:
    first = next(iter(next(iter(found.values())).values()))
    table = Table(what, "of", title=title)
    for column in first:
        table.add_column(column, justify="right")
    for kind, of in found.items():
        for name, values in of.items():
            table.add_row(kind, name, *(f"{value:.1f}" for value in values.values()))
    return table


if __name__ == "__main__":
    typer.run(main)
