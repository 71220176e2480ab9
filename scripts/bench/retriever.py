"""What the retriever adds to its neighbours: to a search, to the first word, to many streams.

It starts a retriever, an embedding service and a model server of its own, each in a process; the
model streams fixed words at a fixed rate, so that whatever is late is late because of the retriever
(or of the machine: the same streams are also read from the model directly, as a control).

    python -m bench.retriever --data ../shared/data/squad [--streams 200] [--out FILE]
"""

import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import orjson
import psutil
import typer
from aiohttp import web
from rich.console import Console
from rich.table import Table

from bench.ingest import KEY, documents, ingest, until_ready
from evaluation.beir import Dataset, load
from evaluation.client import RetrieverClient
from evaluation.report import provenance, write
from loading.plots import Axis, Series, plot, save

FIRST_SECONDS = 0.05
"""The scripted model's time to its first word."""
_HEADERS = {"Authorization": f"Bearer {KEY}"}
_SENTENCE = (
    "The retriever finds the passages that bear on a question, puts the best before the model, and "
    "checks each sentence of the answer against them while the words are still on their way."
)
_SEARCHES = 100  # of a round, or two a client where there are more
_CHATS = 40

app = typer.Typer(pretty_exceptions_show_locals=False)


# The scripted model


def _chunk(delta: dict[str, str], reason: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
    return b"data: " + orjson.dumps({**body, "choices": [choice], **more}) + b"\n\n"


async def _models(_: web.Request) -> web.Response:
    model = {"id": "scripted", "object": "model", "max_model_len": 8192}
    return web.json_response({"object": "list", "data": [model]})


async def _complete(request: web.Request) -> web.StreamResponse:
    """As many words as asked for, each at its time by the clock, not some time after the last."""
    sentence = _SENTENCE.split()
    asked, interval = await request.json(), request.app[INTERVAL]
    words = asked.get("max_completion_tokens") or asked["max_tokens"]
    reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
    began = time.perf_counter()
    await reply.prepare(request)
    for n, word in zip(range(words), itertools.cycle(sentence), strict=False):
        due = began + FIRST_SECONDS + n * interval
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        # Numbered, for an answer that says the same twice is stopped.
        said = f" {word[:-1]} {n // len(sentence)}." if word.endswith(".") else f" {word}"
        await reply.write(_chunk({"content": said}))
    tokens = {"prompt_tokens": 9, "completion_tokens": words, "total_tokens": words + 9}
    await reply.write(_chunk({}, "stop", usage=tokens) + b"data: [DONE]\n\n")
    return reply


INTERVAL = web.AppKey("interval", float)


@app.command(hidden=True)
def serve_model(port: int, rate: float) -> None:
    """The model server, with `rate` words a second for each stream."""
    server = web.Application()
    server[INTERVAL] = 1 / rate
    server.router.add_get("/v1/models", _models)
    server.router.add_post("/v1/chat/completions", _complete)
    web.run_app(server, host="127.0.0.1", port=port, print=None, access_log=None)


# The processes


@dataclass(frozen=True)
class Stack:
    """Addresses of what runs, and the retriever's process."""

    retriever: str
    embedding: str
    model: str
    process: psutil.Process


@contextmanager
def stack(folder: Path, port: int, rate: float) -> Iterator[Stack]:
    """A retriever on `port`, its embedding service and its model on the next two."""
    key = folder / "api-key"
    key.write_text(KEY)
    key.chmod(0o600)
    environment = {
        **os.environ,
        "RETRIEVER_PORT": str(port),
        "RETRIEVER_DATA_DIR": str(folder / "data"),
        "RETRIEVER_API_KEY_FILE": str(key),
        "RETRIEVER_EMBEDDING_URL": f"http://127.0.0.1:{port + 1}",
        "RETRIEVER_LLM_URL": f"http://127.0.0.1:{port + 2}/v1",
        "RETRIEVER_RELEVANCE": "-1",  # every question is worth asking
        "RETRIEVER_CONCURRENT_SEARCHES": "2048",  # how the curve goes on where it would say 429
        "EMBEDDING_PORT": str(port + 1),
        "EMBEDDING_CACHE_TEXTS": "0",
    }
    model = [sys.executable, "-m", "bench.retriever", "serve-model", str(port + 2), str(rate)]
    with ExitStack() as exits:
        log = exits.enter_context((folder / "log").open("wb"))

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            exits.callback(process.wait, 30)
            exits.callback(process.terminate)
            return process

        start(*model)
        start(sys.executable, "-m", "embedding")
        process = start(sys.executable, "-m", "retriever")
        retriever, embedding, served = (f"http://127.0.0.1:{port + n}" for n in range(3))
        yield Stack(retriever, embedding, served, psutil.Process(process.pid))


# The measurements


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
    per_second: float = 0.0
    cpu: float = 0.0
    """Milliseconds of a core that the retriever took for one, Qdrant's included."""

    def overhead(self) -> list[float]:
        """What is neither embedding nor Qdrant, with the client's own time and the way there."""
        stages = zip(self.whole, self.embed, self.search, strict=True)
        return [whole - embed - search for whole, embed, search in stages]


async def search(
    http: aiohttp.ClientSession, stack: Stack, number: int, questions: Iterator[str]
) -> Searches:
    """A round of searches by `number` clients."""
    found = Searches()

    async def one() -> None:
        body = {"query": next(questions), "top_k": 10}
        started = time.perf_counter()
        async with http.post(f"{stack.retriever}/v1/search", json=body, headers=_HEADERS) as reply:
            text = await reply.read()
            reply.raise_for_status()
        found.whole.append((time.perf_counter() - started) * 1000)
        timings = orjson.loads(text)["timings"]
        found.embed.append(timings["embed"])
        found.search.append(timings["search"])

    count = max(_SEARCHES, 2 * number)
    spent = sum(stack.process.cpu_times()[:2])
    found.per_second = count / await clients(number, count, one)
    found.cpu = (sum(stack.process.cpu_times()[:2]) - spent) / count * 1000
    return found


async def embedding_alone(
    http: aiohttp.ClientSession, stack: Stack, questions: Iterator[str]
) -> list[float]:
    """Milliseconds of questions' embeddings, asked for without a retriever."""
    taken: list[float] = []

    async def one() -> None:
        body = {"input": [next(questions)], "encoding_format": "base64", "input_type": "query"}
        started = time.perf_counter()
        async with http.post(f"{stack.embedding}/v1/embeddings", json=body) as reply:
            await reply.read()
            reply.raise_for_status()
        taken.append((time.perf_counter() - started) * 1000)

    await clients(1, _SEARCHES, one)
    return taken


@dataclass
class Stream:
    """When an answer's words came, in milliseconds from the request, and what the end told."""

    words: list[float] = field(default_factory=list)
    """Of each event with words; several that came to the retriever at once are one."""
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
    async with http.post(f"{url}/v1/chat/completions", json=body, headers=_HEADERS) as reply:
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
    http: aiohttp.ClientSession, url: str, number: int, words: int, questions: Iterator[str]
) -> list[Stream]:
    """So many answers at once, begun over the time of one word."""

    async def one(n: int) -> Stream:
        await asyncio.sleep(n / number)
        return await stream(http, url, next(questions), words)

    return await asyncio.gather(*(one(n) for n in range(number)))


def percentile(values: Sequence[float], percent: int) -> float:
    """A percentile of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


async def measure(
    stack: Stack,
    dataset: Dataset,
    count: int,
    number: int,
    rate: float,
    seconds: float,
    levels: Sequence[int],
    console: Console,
) -> dict[str, Any]:
    """Everything, printed and as it is."""
    await until_ready(stack.embedding)
    await until_ready(stack.retriever)
    async with RetrieverClient(stack.retriever, KEY, timeout=600) as client:
        await ingest(client, documents(dataset, count, "bench"))
    texts = [query.text for query in dataset.queries.values()]
    fresh = (f"{text} {n}" for n in itertools.count() for text in texts)  # never asked before
    result: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    # uvicorn closes what has been idle for five seconds: a request must not meet that.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    patience = aiohttp.ClientTimeout(600)
    async with aiohttp.ClientSession(connector=connector, timeout=patience) as http:
        await search(http, stack, 4, fresh)  # warms up
        alone = await embedding_alone(http, stack, fresh)
        result["embedding_alone_p50"] = statistics.median(alone)
        table = Table(title=f"search over {count} documents, milliseconds")
        table.caption = f"embedding alone, without a retriever: p50 {statistics.median(alone):.1f}"
        for column in (
            "clients",
            "a second",
            "p50",
            "p95",
            "embed",
            "qdrant",
            "added p50",
            "p95",
            "CPU",
        ):
            table.add_column(column, justify="right")
        repeated = itertools.cycle(texts[:20])
        rounds = [(str(n), n, fresh) for n in levels] + [("4, asked before", 4, repeated)]
        for name, clients_, questions in rounds:
            done = await search(http, stack, clients_, questions)
            values = {
                "per_second": done.per_second,
                "whole_p50": statistics.median(done.whole),
                "whole_p95": percentile(done.whole, 95),
                "embed_p50": statistics.median(done.embed),
                "qdrant_p50": statistics.median(done.search),
                "added_p50": statistics.median(done.overhead()),
                "added_p95": percentile(done.overhead(), 95),
                "cpu": done.cpu,
            }
            result[f"search, {name}"] = values
            table.add_row(name, *(f"{value:.1f}" for value in values.values()))
        console.print(table)

        firsts = [await stream(http, stack.retriever, next(fresh), 8) for _ in range(_CHATS)]
        direct = [await stream(http, stack.model, next(fresh), 8) for _ in range(_CHATS)]
        added = [one.overhead() for one in firsts]
        late = [one.words[0] - FIRST_SECONDS * 1000 for one in direct]
        result["first_word"] = {"added": percentiles(added), "model_late": percentiles(late)}
        console.print(
            f"first word after embedding, Qdrant and the model's {FIRST_SECONDS * 1000:.0f} ms: "
            f"p50 {statistics.median(added):.1f} ms, p95 {percentile(added, 95):.1f} ms "
            f"(of which the model alone is late by p50 {statistics.median(late):.1f} ms)"
        )

        words = round(rate * seconds)
        table = Table(title=f"{number} streams of {words} words at {rate:g} a second, ms")
        for column in (
            "from",
            "first word p50",
            "p95",
            "gap p50",
            "p99",
            "longest",
            "CPU a word",
            "events",
        ):
            table.add_column(column, justify="left" if column == "from" else "right")
        few = itertools.cycle(texts[:20])  # asked before: it is about streams, not about Qdrant
        for name, url in (("the model", stack.model), ("the retriever", stack.retriever)):
            spent = sum(stack.process.cpu_times()[:2])
            came = await streams(http, url, number, words, few)
            spent = sum(stack.process.cpu_times()[:2]) - spent
            assert all(len(one.text.split()) >= words for one in came), "an answer was cut short"
            gaps = [gap for one in came for gap in one.gaps()]
            begun = [one.words[0] for one in came]
            values = {
                "first_p50": statistics.median(begun),
                "first_p95": percentile(begun, 95),
                "gap_p50": statistics.median(gaps),
                "gap_p99": percentile(gaps, 99),
                "gap_longest": max(gaps),
                "cpu_a_word": spent / (number * words) * 1000,
                "events": sum(len(one.words) for one in came),
            }
            result[f"streams from {name}"] = values
            cells = [f"{value:,.2f}".removesuffix(".00") for value in values.values()]
            table.add_row(name, *cells)
        console.print(table)
    console.print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return result


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The median and the 95th percentile."""
    return {"p50": statistics.median(values), "p95": percentile(values, 95)}


@app.command()
def run(
    data: Annotated[Path, typer.Option(help="A BEIR folder: documents and questions.")],
    count: Annotated[int, typer.Option("--documents", min=1, max=1000)] = 300,
    number: Annotated[int, typer.Option("--streams", help="Answers at once.")] = 200,
    rate: Annotated[float, typer.Option(help="Words a second of each answer.")] = 10.0,
    seconds: Annotated[float, typer.Option(help="Length of an answer.")] = 10.0,
    levels: Annotated[str, typer.Option(help="Searching clients, round by round.")] = "1,4,16",
    port: Annotated[int, typer.Option(help="First of three free ports.")] = 18090,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
    plotted: Annotated[
        Path | None, typer.Option("--plot", help="Draw the searches by clients as SVG.")
    ] = None,
) -> None:
    """Measure and print."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder), port, rate) as running:
        steps = [int(level) for level in levels.split(",")]
        result = asyncio.run(
            measure(running, load(data), count, number, rate, seconds, steps, console)
        )
    if plotted is not None:
        rows = [(level, result[f"search, {level}"]) for level in steps]
        curves = [
            Series(name, [(level, values[key]) for level, values in rows])
            for name, key in (
                ("searches a second", "per_second"),
                ("p50, ms", "whole_p50"),
                ("p95, ms", "whole_p95"),
            )
        ]
        save(plotted, plot(curves, Axis("clients", log=True), Axis("a second, or ms", log=True)))
    if out is not None:
        write(out, {"provenance": provenance(), **result})


if __name__ == "__main__":
    app()
