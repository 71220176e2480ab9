"""The embedding service against plain ways to serve the same model, over HTTP, in one run.

Every server is loaded in turn by the same clients with the same texts, several rounds, while the
others are idle; what is printed are medians of the rounds' ratios. CPU milliseconds are what a
server's process had of the processors for a text. bulkhead runs twice: in the precision that it
picks for this machine, and in `--dtype` like all the others. The plain servers call
`SentenceTransformer.encode` once a request: `threads` from a `def` endpoint, which FastAPI runs in
its thread pool, `serial` from an `async def` one, which blocks the event loop. float32 is what
`SentenceTransformer(name)` loads of the bundled model, so it is what a newcomer gets.
infinity is measured where its command is named: it needs an environment of its own. With
`--beside` the service of another checkout is measured too: what a change is worth.

    python -m bench.embedding_service [--infinity VENV/bin/infinity_emb] [--device cuda]
    python -m bench.embedding_service --beside DIR
"""

import asyncio
import itertools
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import psutil
import typer
import uvicorn
from fastapi import Body, FastAPI
from rich.console import Console
from rich.table import Table

from bench.embedding import prose
from embedding.settings import bundled_model

ROOT = Path(__file__).parents[2]
PORT = 19810
LENGTHS = (4, 250)
"""Tokens of a text, about: drawn evenly by order of magnitude, questions and chunks mixed."""

app = typer.Typer(pretty_exceptions_show_locals=False)


def texts(seed: int, lengths: tuple[int, int]) -> Iterator[str]:
    """Texts without end, all different, of English prose."""
    words, rng = prose().split(), random.Random(seed)  # noqa: S311 - no secret
    for number in itertools.count():
        # 1.9: tokens to a word of this prose
        size = max(1, round(lengths[0] * (lengths[1] / lengths[0]) ** rng.random() / 1.9))
        start = rng.randrange(len(words) - size)
        yield f"{number} {' '.join(words[start : start + size])}"


class Server:
    """A server in a process of its own."""

    def __init__(self, name: str, url: str, process: subprocess.Popen[bytes]) -> None:
        self.name, self.url = name, url
        self._process = psutil.Process(process.pid)

    def cpu_seconds(self) -> float:
        """What its processes have had of the processors so far."""
        family = [self._process, *self._process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in family)


@contextmanager
def serving(
    name: str, command: list[str], port: int, path: str = "/v1/embeddings", **env: str
) -> Iterator[Server]:
    """The command's server, once it answers at `path`."""
    with Path(os.devnull).open("wb") as nowhere:
        process = subprocess.Popen(
            command, env={**os.environ, **env}, stdout=nowhere, stderr=nowhere
        )
        try:
            asyncio.run(_answering(f"http://127.0.0.1:{port}{path}", process))
            yield Server(name, f"http://127.0.0.1:{port}{path}", process)
        finally:
            process.terminate()
            process.wait(30)


async def _answering(url: str, process: subprocess.Popen[bytes]) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(3000):
            if process.poll() is not None:
                raise typer.BadParameter(f"the server at {url} ended with {process.returncode}")
            try:
                async with http.post(url, json=_body("up?")) as reply:
                    if reply.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)
    raise typer.BadParameter(f"nothing answers at {url}")


def _body(text: str | list[str], kind: str | None = None) -> dict[str, Any]:
    model = {"model": bundled_model()} if kind is None else {"input_type": kind}
    return {"input": text, **model}


async def load(
    server: Server, clients: int, seconds: float, next_body: Callable[[], dict[str, Any]]
) -> list[float]:
    """Seconds that each request took, of clients that send one after another."""
    taken: list[float] = []
    until = time.perf_counter() + seconds

    async def client(http: aiohttp.ClientSession) -> None:
        while (started := time.perf_counter()) < until:
            async with http.post(server.url, json=next_body()) as reply:
                await reply.read()
                reply.raise_for_status()
            taken.append(time.perf_counter() - started)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    return taken


async def under_bulk(server: Server, seconds: float) -> tuple[list[float], list[float]]:
    """Seconds that short queries took: alone, and beside four clients of 32 texts each."""
    queries, bulk = texts(1, (4, 16)), texts(2, LENGTHS)

    def query() -> dict[str, Any]:
        return _body(next(queries), "query")

    def documents() -> dict[str, Any]:
        return _body([next(bulk) for _ in range(32)], "document")

    async def once_bulk_flows() -> list[float]:
        await asyncio.sleep(1)
        return await load(server, 1, seconds, query)

    alone = await load(server, 1, seconds, query)
    _, beside = await asyncio.gather(load(server, 4, seconds + 1, documents), once_bulk_flows())
    return alone, beside


@app.command()
def measure(
    clients: int = 32,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Of a round at each server.")] = 10.0,
    device: str = "cpu",
    dtype: Annotated[str, typer.Option(help="Of all servers but bulkhead's first.")] = "float32",
    infinity: Annotated[Path | None, typer.Option(help="Its command, `infinity_emb`.")] = None,
    beside: Annotated[list[Path] | None, typer.Option(help="Another checkout, too.")] = None,
) -> None:
    """Measure and print."""
    console = Console()
    naive = [sys.executable, "-m", "bench.embedding_service", "serve"]
    naive += ["--device", device, "--dtype", dtype]
    with ExitStack() as exits:
        ours = exits.enter_context(_bulkhead("bulkhead", PORT, device, {}))
        alike = _bulkhead(f"bulkhead, {dtype}", PORT + 4, device, {"EMBEDDING_DTYPE": dtype})
        servers = [ours, exits.enter_context(alike)]
        for number, way in enumerate(("threads", "serial"), start=1):
            command = [*naive, "--way", way, "--port", str(PORT + number)]
            servers.append(exits.enter_context(serving(f"plain, {way}", command, PORT + number)))
        if infinity is not None:
            command = [str(infinity), "v2", "--model-id", bundled_model(), "--port", str(PORT + 3)]
            command += ["--engine", "torch", "--device", device, "--dtype", dtype]
            command += ["--no-bettertransformer", "--no-model-warmup", "--host", "127.0.0.1"]
            offline = {"DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
            other = serving("infinity", command, PORT + 3, "/embeddings", **offline)
            servers.append(exits.enter_context(other))
        for number, checkout in enumerate(beside or (), start=5):
            theirs = _bulkhead(checkout.name, PORT + number, device, {}, checkout)
            servers.append(exits.enter_context(theirs))
        rates: dict[str, list[float]] = {server.name: [] for server in servers}
        costs: dict[str, list[float]] = {server.name: [] for server in servers}
        for number in range(rounds):
            for server in servers:
                stream = texts(number, LENGTHS)
                before, started = server.cpu_seconds(), time.perf_counter()
                done = asyncio.run(load(server, clients, seconds, lambda: _body(next(stream))))  # noqa: B023
                rates[server.name].append(len(done) / (time.perf_counter() - started))
                costs[server.name].append((server.cpu_seconds() - before) / len(done) * 1e3)
        table = Table(title=f"{clients} clients, one text a request, {dtype} on {device}")
        table.caption = "times: of the first row, of the second (which is in the others' precision)"
        for column in ("server", "texts/s", "times slower", "CPU ms", "times dearer"):
            table.add_column(column)
        for server in servers:
            slower = [_against(rates[one.name], rates[server.name]) for one in servers[:2]]
            dearer = [_against(costs[server.name], costs[one.name]) for one in servers[:2]]
            table.add_row(
                server.name,
                f"{statistics.median(rates[server.name]):.1f}",
                "{:.2f}, {:.2f}".format(*slower),
                f"{statistics.median(costs[server.name]):.1f}",
                "{:.2f}, {:.2f}".format(*dearer),
            )
        console.print(table)
        latencies = _latencies(*asyncio.run(under_bulk(ours, seconds)))
    console.print(latencies)
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def _bulkhead(
    name: str, port: int, device: str, extra: dict[str, str], checkout: Path = ROOT
) -> AbstractContextManager[Server]:
    env = {
        "PYTHONPATH": f"{checkout}/services/embedding:{checkout}/services/core",
        "EMBEDDING_PORT": str(port),
        "EMBEDDING_DEVICE": device,
        "EMBEDDING_MODEL_ID": bundled_model(),
        "EMBEDDING_CACHE_TEXTS": "0",
        **({"EMBEDDING_BATCH_TOKENS": "65536"} if device != "cpu" else {}),
    }
    return serving(name, [sys.executable, "-m", "embedding"], port, **env, **extra)


def _against(these: list[float], those: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(these, those, strict=True))


def _latencies(alone: list[float], beside: list[float]) -> Table:
    table = Table(title="short queries at bulkhead, milliseconds")
    for column in ("", "alone", "beside bulk", "ratio"):
        table.add_column(column)
    for percent in (50, 99):
        one, two = (
            statistics.quantiles(times, n=100, method="inclusive")[percent - 1] * 1e3
            for times in (alone, beside)
        )
        table.add_row(f"p{percent}", f"{one:.1f}", f"{two:.1f}", f"{two / one:.2f}")
    table.add_row("n", str(len(alone)), str(len(beside)), "")
    return table


@app.command(hidden=True)
def serve(
    port: Annotated[int, typer.Option()],
    way: str = "threads",
    device: str = "cpu",
    dtype: str = "float32",
) -> None:
    """The plain server that is measured against."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        bundled_model(), device=device, model_kwargs={"dtype": getattr(torch, dtype)}
    )
    plain = FastAPI()

    def embed(body: dict[str, Any]) -> dict[str, Any]:
        return {"data": [{"embedding": model.encode(body["input"]).tolist()}]}

    if way == "threads":

        @plain.post("/v1/embeddings")
        def in_threads(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
            return embed(body)
    else:

        @plain.post("/v1/embeddings")
        async def in_the_loop(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
            return embed(body)

    uvicorn.run(plain, port=port, log_level="error")


if __name__ == "__main__":
    app()
