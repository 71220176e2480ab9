"""What bulk ingestion costs beside the API's way, and whether its memory stays flat.

`compare` takes the same short documents in twice by the API and once by a run, between them, over
one PostgreSQL, one embedding service with the real model and the tests' Qdrant stand-in, whose time
is in the rates and in no cost. A run's start, Ray's and its actors', is measured by a run of one
document and told apart. `run` takes many in once, follows the memory, and searches.

    python -m bench.bulk compare --data ../shared/data/squad [--documents 2000] [--hashes]
    python -m bench.bulk run --data ../shared/data/squad [--documents 100000] [--actors]
"""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx2
import orjson
import psutil
import typer
from rich.console import Console
from rich.table import Table

from bench.database import database
from evaluation.beir import load
from evaluation.report import provenance, write

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)
console = Console()

KEY, QDRANT_KEY = "bh_bench", "key-of-a-bench"
_SAMPLE_SECONDS = 0.5
_MEMORY_SECONDS = 10.0
_REQUEST = 500
Data = Annotated[Path, typer.Option(help="A collection; its sentences are the documents.")]
Out = Annotated[Path | None, typer.Option(help="Write the result as JSON.")]


def documents(data: Path, number: int, first: int = 0) -> list[dict[str, Any]]:
    """Sentences of the collection, each with a number of its own."""
    texts = [one.body for one in load(data).corpus.values()]
    sentences = [one for text in texts for one in re.split(r"(?<=[.!?]) ", text) if len(one) > 40]
    return [
        {"text": f"{sentences[n % len(sentences)]} Record {n}.", "source": f"records/{n}"}
        for n in range(first, first + number)
    ]


@dataclass
class Stack:
    """Addresses, environment, and the processes whose time counts."""

    environment: dict[str, str]
    folder: Path
    port: int
    shared: list[psutil.Process] = field(default_factory=list)
    """Those that both ways use: the embedding service, PostgreSQL."""


@contextmanager
def stack(port: int, *, hashes: bool = False) -> Iterator[Stack]:
    """What both ways need."""
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="bench-bulk-")))
        for name, secret in (("api-key", KEY), ("qdrant-key", QDRANT_KEY)):
            (folder / name).write_text(secret)
            (folder / name).chmod(0o600)
        (folder / "parser").mkdir()
        told = exits.enter_context(database(folder, port + 3))
        environment = {
            **os.environ,
            **told,
            "RETRIEVER_DATA_DIR": str(folder / "data"),
            "RETRIEVER_API_KEY_FILE": str(folder / "api-key"),
            "RETRIEVER_PARSER_SOCKETS": str(folder / "parser"),
            "RETRIEVER_EMBEDDING_URL": f"http://127.0.0.1:{port + 1}",
            "RETRIEVER_QDRANT_URL": f"http://127.0.0.1:{port + 2}",
            "RETRIEVER_QDRANT_API_KEY_FILE": str(folder / "qdrant-key"),
            "RETRIEVER_QDRANT_READ_TIMEOUT": "120",
            "RETRIEVER_QDRANT_WRITE_TIMEOUT": "120",
            "RETRIEVER_LLM_URL": "http://127.0.0.1:1/v1",
            "EMBEDDING_PORT": str(port + 1),
            "EMBEDDING_CACHE_TEXTS": "0",
            "BULK_FAILED_FILE": str(folder / "failed.jsonl"),
        }
        one = Stack(environment, folder, port)
        started(exits, one, "bench.fleet", "qdrant", str(port + 2))
        served = ("bench.fleet", "embedding", str(port + 1)) if hashes else ("embedding",)
        one.shared.append(started(exits, one, *served))
        _until(lambda: _answers(f"http://127.0.0.1:{port + 1}/readyz"))
        one.shared += [
            process
            for process in psutil.process_iter()
            if process.name() == "postgres" and str(folder) in "".join(process.cmdline())
        ]
        yield one


def started(exits: ExitStack, stack: Stack, *module: str, **more: str) -> psutil.Process:
    """A process of the bench, which ends with it."""
    log = exits.enter_context((stack.folder / f"{module[0]}-{len(more)}.log").open("ab"))
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        env={**stack.environment, **more},
        stdout=log,
        stderr=log,
    )
    exits.callback(process.wait, 60)
    exits.callback(process.terminate)
    return psutil.Process(process.pid)


def _until(done: Any, seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError("a part of the bench did not come up")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


class Watch:
    """The processor time, and now and then the memory, of processes and all their children."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._processes = processes
        self._spent: dict[int, float] = {}
        self._before: dict[int, float] = {}
        self.memory: list[tuple[float, float]] = []
        """Seconds since the beginning, and MiB that are nobody else's (USS)."""
        self._ended = threading.Event()
        self._started = time.monotonic()
        self._sample(memory=False)
        self._before = dict(self._spent)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def add(self, process: psutil.Process) -> None:
        """Count one more, from its start."""
        self._processes = [*self._processes, process]

    def end(self) -> tuple[float, float]:
        """Seconds since the beginning, and those of a core."""
        seconds = time.monotonic() - self._started
        self._sample(memory=False)
        self._ended.set()
        self._thread.join()
        spent = sum(self._spent.values()) - sum(self._before.values())
        return seconds, spent

    def _follow(self) -> None:
        last = 0.0
        while not self._ended.wait(_SAMPLE_SECONDS):
            memory = time.monotonic() - last >= _MEMORY_SECONDS
            last = time.monotonic() if memory else last
            self._sample(memory)

    def _sample(self, memory: bool) -> None:
        held = 0.0
        for process in list(self._processes):
            try:
                family = [process, *process.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            for one in family:
                try:
                    times = one.cpu_times()
                    self._spent[one.pid] = times.user + times.system
                    if memory:
                        held += one.memory_full_info().uss / 2**20
                except psutil.Error:
                    continue
        if memory and held:
            self.memory.append((time.monotonic() - self._started, held))


def bulk(stack: Stack, rows: list[dict[str, Any]], *words: str, **more: str) -> dict[str, Any]:
    """A run over these documents."""
    corpus = stack.folder / f"corpus-{len(rows)}"
    corpus.mkdir(exist_ok=True)
    (corpus / "all.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    watch = Watch(stack.shared)
    process = subprocess.Popen(
        [sys.executable, "-m", "bulk", str(corpus), *words],
        env={**stack.environment, **more},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch.add(psutil.Process(process.pid))
    told: list[tuple[float, str]] = []
    assert process.stderr is not None
    for line in process.stderr:
        told.append((time.monotonic() - watch._started, line.strip()))
    process.wait()
    seconds, spent = watch.end()
    if process.returncode:
        raise RuntimeError("\n".join(line for _, line in told[-20:]))
    return {
        "documents": len(rows),
        "seconds": seconds,
        "core_seconds": spent,
        "said": told[-1][1],
        "progress": [one for one in told if " documents, " in one[1]],
        "memory_mib": watch.memory,
    }


def api(
    stack: Stack, rows: list[dict[str, Any]], retriever: str, own: Sequence[psutil.Process]
) -> dict[str, Any]:
    """The same by the API, with the worker that waits for it."""
    headers = {"Authorization": f"Bearer {KEY}"}
    watch = Watch([*stack.shared, *own])
    with httpx2.Client(base_url=retriever, headers=headers, timeout=600) as http:
        jobs = []
        for first in range(0, len(rows), _REQUEST):
            body = {"documents": rows[first : first + _REQUEST]}
            jobs.append(http.post("/v1/documents", json=body).raise_for_status().json()["id"])
        for job in jobs:
            while http.get(f"/v1/jobs/{job}").json()["state"] in ("queued", "running"):
                time.sleep(0.5)
        states = {http.get(f"/v1/jobs/{job}").json()["state"] for job in jobs}
    if states != {"succeeded"}:
        raise RuntimeError(f"the jobs ended as {states}")
    seconds, spent = watch.end()
    return {"documents": len(rows), "seconds": seconds, "core_seconds": spent}


@app.command()
def compare(
    data: Data,
    number: Annotated[int, typer.Option("--documents", min=10)] = 2000,
    hashes: Annotated[
        bool, typer.Option(help="Embed by hashing words: what all but the model costs.")
    ] = False,
    port: Annotated[int, typer.Option(help="First of five free ports.")] = 18340,
    out: Out = None,
) -> None:
    """The API, a run, the API again: documents a second, and milliseconds of a core a document."""
    with stack(port, hashes=hashes) as one, ExitStack() as exits:
        retriever = started(exits, one, "retriever", RETRIEVER_PORT=str(port))
        worker = started(exits, one, "retriever", "ingest", RETRIEVER_PORT=str(port + 4), A="1")
        _until(lambda: _answers(f"http://127.0.0.1:{port + 4}/readyz"))
        url, own = f"http://127.0.0.1:{port}", [retriever, worker]
        _until(lambda: _answers(f"{url}/readyz") or _opened(url))
        api(one, documents(data, 50, 9_000_000), url, own)  # warm
        first = api(one, documents(data, number, 0), url, own)
        start = bulk(one, documents(data, 1, 8_000_000))
        run_ = bulk(one, documents(data, number, 1_000_000))
        second = api(one, documents(data, number, 2_000_000), url, own)
    seconds = run_["seconds"] - start["seconds"]
    cost = (run_["core_seconds"] - start["core_seconds"]) / number
    if seconds <= 0 or cost <= 0:
        console.print("a start varies more than these documents take: ask for more of them")
        raise typer.Exit(1)
    rates = [number / one["seconds"] for one in (first, second)]
    costs = [one["core_seconds"] / number for one in (first, second)]
    told = {
        "api_rate": rates,
        "api_core_ms": [1000 * one for one in costs],
        "bulk_rate": number / seconds,
        "bulk_core_ms": 1000 * cost,
        "bulk_start_seconds": start["seconds"],
        "bulk_start_core_seconds": start["core_seconds"],
        "rate_ratio": number / seconds / statistics.mean(rates),
        "cost_ratio": cost / statistics.mean(costs),
    }
    table = Table("way", "documents a second", "ms of a core a document", title="Bulk and API")
    table.add_row("API, before", f"{rates[0]:.1f}", f"{1000 * costs[0]:.1f}")
    table.add_row("bulk, beside its start", f"{number / seconds:.1f}", f"{1000 * cost:.1f}")
    table.add_row("API, after", f"{rates[1]:.1f}", f"{1000 * costs[1]:.1f}")
    console.print(table)
    console.print(
        f"start: {start['seconds']:.0f} s, {start['core_seconds']:.0f} s of a core;"
        f" rate {told['rate_ratio']:.2f}, cost {told['cost_ratio']:.2f} of the API's"
    )
    if out:
        write(out, {**provenance(), **told})


def _opened(url: str) -> bool:
    """Whether stores and index are open, whatever else the retriever lacks."""
    try:
        parts = httpx2.get(f"{url}/readyz", timeout=5).json()["parts"]
    except httpx2.TransportError:
        return False
    return all(parts[name]["state"] == "up" for name in ("database", "qdrant"))


@app.command()
def run(
    data: Data,
    number: Annotated[int, typer.Option("--documents", min=10)] = 100_000,
    actors: Annotated[bool, typer.Option(help="Embed in Ray actors, not by the service.")] = False,
    port: Annotated[int, typer.Option(help="First of five free ports.")] = 18350,
    out: Out = None,
) -> None:
    """Many documents, once: the rate, the memory over time, and searches in what came in."""
    with stack(port) as one:
        more = {"BULK_EMBEDDING": "actors"} if actors else {}
        told = bulk(one, documents(data, number), **more)
        again = bulk(one, documents(data, number), **more)
        with ExitStack() as exits:
            started(exits, one, "retriever", RETRIEVER_PORT=str(port))
            url = f"http://127.0.0.1:{port}"
            _until(lambda: _opened(url))
            found = asyncio.run(_searched(url, documents(data, number)))
    memory = told["memory_mib"]
    quarters = [memory[min(len(memory) - 1, len(memory) * n // 4)][1] for n in range(1, 4)]
    result = {
        **provenance(),
        **told,
        "quarters_mib": [*quarters, memory[-1][1]],
        "again": {key: again[key] for key in ("seconds", "core_seconds", "said")},
        "found": found,
    }
    console.print(told["said"])
    console.print(f"again: {again['said']}")
    console.print(f"memory at each quarter: {[round(one) for one in result['quarters_mib']]} MiB")
    console.print(f"found: {found}")
    if out:
        write(out, result)


async def _searched(url: str, rows: list[dict[str, Any]]) -> str:
    """Search for documents by their words: how many come first."""
    headers = {"Authorization": f"Bearer {KEY}"}
    asked = rows[:: max(1, len(rows) // 20)][:20]
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=300) as http:
        first = 0
        for row in asked:
            body = {"query": row["text"], "top_k": 3}
            reply = (await http.post("/v1/search", json=body)).raise_for_status().json()
            first += reply["results"][0]["source"] == row["source"]
    return f"{first} of {len(asked)}"


if __name__ == "__main__":
    app()
