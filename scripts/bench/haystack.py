"""Search alone, beside the same pipeline in Haystack: same chunks, model and machine, in one run.

Both embed a question with the bundled model in float32 and ask embedded Qdrant for the ten best
chunks by dense vectors and BM25 terms. What differs is each one's own: Haystack's retriever fuses
by ranks and takes ten candidates of a leg, the retriever here fuses by scores and takes 200, asks
who is asking, and calls its embedding service over HTTP. Haystack's BM25 embedder for Qdrant
downloads its words, so it is given this project's terms, by a component of a few lines.

Haystack needs an environment of its own: a virtual environment with

    pip install torch==2.13.0
    pip install haystack-ai qdrant-haystack sentence-transformers-haystack PyStemmer regex \\
        stop-words fastapi uvicorn

The servers are loaded in turn while the other is idle; ratios are medians over the rounds.

    python -m bench.haystack --python VENV/bin/python --data ../shared/data/squad
"""

import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import psutil
import typer
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from bench.database import database
from bench.ingest import KEY, chunk_texts, default_chunker, ingest, until_ready
from embedding.settings import bundled_model
from evaluation.beir import Dataset, load
from evaluation.client import RetrieverClient
from retriever.settings import RetrieverSettings

TOP_K = 10
_HEADERS = {"Authorization": f"Bearer {KEY}"}
_ROOT = Path(__file__).resolve().parent.parent.parent
_REPEATED = 20
_KINDS = (("1", 1), ("4", 4), ("16", 16), ("4, asked before", 4))

app = typer.Typer(pretty_exceptions_show_locals=False)


@dataclass(frozen=True)
class System:
    """What is searched: its address, and the processes that work for it."""

    name: str
    url: str
    processes: tuple[psutil.Process, ...]

    def cpu_seconds(self) -> float:
        """What its processes have had of the processors so far."""
        return sum(sum(one.cpu_times()[:2]) for one in self.processes)


@contextmanager
def systems(
    folder: Path, python: Path, documents: list[dict[str, str]], port: int
) -> Iterator[tuple[System, System]]:
    """Ours on `port` and the next, which is still empty, and Haystack's on the one after."""
    key, index = folder / "api-key", folder / "index.json"
    key.write_text(KEY)
    key.chmod(0o600)
    index.write_text(json.dumps(_index(documents)))
    ours = {
        "RETRIEVER_PORT": str(port),
        "RETRIEVER_DATA_DIR": str(folder / "data"),
        "RETRIEVER_API_KEY_FILE": str(key),
        "RETRIEVER_EMBEDDING_URL": f"http://127.0.0.1:{port + 1}",
        "RETRIEVER_LLM_URL": "http://127.0.0.1:1/v1",
        "EMBEDDING_PORT": str(port + 1),
        "EMBEDDING_DTYPE": "float32",
    }
    theirs = {
        "PYTHONPATH": f"{_ROOT}/scripts:{_ROOT}/services/core:{_ROOT}/services/retriever",  # BM25
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
    }
    with ExitStack() as exits:
        ours |= exits.enter_context(database(folder, port + 3))
        log = exits.enter_context((folder / "log").open("wb"))

        def start(environment: dict[str, str], *command: str) -> psutil.Process:
            process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=log, stderr=log
            )
            exits.callback(process.wait, 30)
            exits.callback(process.terminate)
            return psutil.Process(process.pid)

        embedding = start(ours, sys.executable, "-m", "embedding")
        retriever = start(ours, sys.executable, "-m", "retriever")
        server = ("-m", "bench.haystack_search", str(port + 2), str(index))
        haystack = start(theirs, str(python), *server)
        yield (
            System("bulkhead", f"http://127.0.0.1:{port}", (retriever, embedding)),
            System("Haystack", f"http://127.0.0.1:{port + 2}", (haystack,)),
        )


def _index(documents: list[dict[str, str]]) -> dict[str, Any]:
    settings, model = RetrieverSettings(), bundled_model()
    chunker = default_chunker(Tokenizer.from_file(f"{model}/tokenizer.json"))
    bm25 = {
        "language": settings.language,
        "k1": settings.bm25_k1,
        "b": settings.bm25_b,
        "average_terms": settings.bm25_average_terms,
    }
    chunks = [
        {"text": text, "source": one["source"]}
        for one in documents
        for text in chunk_texts(chunker, one)
    ]
    return {"model": model, "bm25": bm25, "top_k": TOP_K, "chunks": chunks}


async def search(http: aiohttp.ClientSession, system: System, question: str) -> list[str]:
    """The sources of what is found, best first."""
    body = {"query": question, "top_k": TOP_K}
    async with http.post(f"{system.url}/v1/search", json=body, headers=_HEADERS) as reply:
        reply.raise_for_status()
        return [one["source"] for one in (await reply.json())["results"]]


async def hit_at_5(
    http: aiohttp.ClientSession, system: System, dataset: Dataset, questions: list[str]
) -> float:
    """The share of the questions (by id) with a relevant document in the first five places."""
    hits = 0
    for id_ in questions:
        found = await search(http, system, dataset.queries[id_].text)
        hits += not {dataset.source(one) for one in dataset.relevant(id_)}.isdisjoint(found[:5])
    return hits / len(questions)


async def load_for(
    http: aiohttp.ClientSession,
    system: System,
    clients: int,
    seconds: float,
    questions: Iterator[str],
) -> tuple[float, float]:
    """Searches a second by clients that ask one after another, and CPU milliseconds of each."""
    spent, started, done = system.cpu_seconds(), time.perf_counter(), 0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < started + seconds:
            await search(http, system, next(questions))
            done += 1

    await asyncio.gather(*(client() for _ in range(clients)))
    taken = time.perf_counter() - started
    return done / taken, (system.cpu_seconds() - spent) / done * 1000


async def measure(
    pair: tuple[System, System],
    dataset: Dataset,
    documents: list[dict[str, str]],
    rounds: int,
    seconds: float,
    console: Console,
) -> None:
    """Fill the retriever, ask both, and print."""
    ours, theirs = pair
    for url in (*(one.url for one in pair), ours.url):
        await until_ready(url)
    async with RetrieverClient(ours.url, KEY, timeout=600) as client:
        await ingest(client, documents)
    held = {one["source"] for one in documents}
    judged = [
        id_
        for id_ in dataset.queries
        if any(dataset.source(one) in held for one in dataset.relevant(id_))
    ]
    texts = [dataset.queries[id_].text for id_ in judged]
    fresh = (f"{text} {n}" for n in itertools.count() for text in texts)  # never asked before
    rates: dict[tuple[str, str], list[float]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(600)) as http:
        hits = {one.name: await hit_at_5(http, one, dataset, judged[:300]) for one in pair}
        for number in range(rounds):
            for kind, clients in _KINDS:
                for system in pair if number % 2 == 0 else reversed(pair):
                    few = itertools.cycle(texts[:_REPEATED])
                    questions = few if "before" in kind else fresh
                    rate, cost = await load_for(http, system, clients, seconds, questions)
                    rates.setdefault((system.name, kind), []).append(rate)
                    costs.setdefault((system.name, kind), []).append(cost)
    table = Table(title=f"searches a second over {len(documents)} documents, {rounds} rounds")
    table.caption = "hit@5: " + ", ".join(f"{name} {share:.3f}" for name, share in hits.items())
    for column in ("clients", ours.name, theirs.name, "times", "CPU ms", "CPU ms", "times"):
        table.add_column(column, justify="right")
    for kind, _ in _KINDS:
        mine, other = (ours.name, kind), (theirs.name, kind)
        cells = (
            *(statistics.median(rates[one]) for one in (mine, other)),
            _ratio(rates[mine], rates[other]),
            *(statistics.median(costs[one]) for one in (mine, other)),
            _ratio(costs[other], costs[mine]),
        )
        table.add_row(kind, *(f"{value:.1f}" for value in cells))
    console.print(table)
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def _ratio(these: list[float], those: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(these, those, strict=True))


@app.command()
def run(
    python: Annotated[Path, typer.Option(help="Of the environment that holds Haystack.")],
    data: Annotated[Path, typer.Option(help="A BEIR folder: documents and questions.")],
    count: Annotated[int, typer.Option("--documents", min=1)] = 900,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Of a round at each server.")] = 4.0,
    port: Annotated[int, typer.Option(help="First of three free ports.")] = 18190,
) -> None:
    """Measure and print."""
    console, dataset = Console(), load(data)
    console.print(f"load average {os.getloadavg()[0]:.1f} before")
    documents = [
        {"text": one.body, "title": one.title or one.id, "source": dataset.source(one.id)}
        for one in itertools.islice((one for one in dataset.corpus.values() if one.body), count)
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        systems(Path(folder), python.absolute(), documents, port) as pair,
    ):
        asyncio.run(measure(pair, dataset, documents, rounds, seconds, console))


if __name__ == "__main__":
    app()
