"""What telemetry costs: the same requests with it and without it, in turns, in one run.

Two embedding services and two retrievers run as processes; one of each sends spans and metrics to
a receiver that throws them away, the other has OpenTelemetry's SDK switched off. Both pairs share
the model server. Printed are medians of the rounds' ratios and differences, with 95% bootstrap
intervals. Wall time is what a client sees; processor time is what the process had of the cores,
which a busy machine disturbs less.

    python scripts/bench_telemetry.py [--rounds N]
"""

import os
import random
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import httpx
import psutil
import typer
from rich.console import Console
from rich.table import Table

from bench_embedding import prose
from embedded.parts import Part, State, parts
from embedded.preflight import ensure_key
from embedded.readiness import await_ready

PORT = 19860
CLIENTS, TEXTS, WORDS = 8, 8, 60
QUESTION = "Which port does the retriever listen on?"
DOCUMENT = "The retriever listens on port 8080. The embedding service listens on port 8081."


@dataclass(frozen=True)
class Cost:
    """What a block of work took."""

    wall: float
    cpu: float


class Side:
    """An embedding service and a retriever, with telemetry or without."""

    def __init__(self, embedding: Part, retriever: Part, key: str) -> None:
        self.parts = (embedding, retriever)
        self._processes: list[psutil.Process] = []
        self.embedding = httpx.Client(base_url=embedding.url, timeout=120)
        self.retriever = httpx.Client(
            base_url=retriever.url, timeout=120, headers={"Authorization": f"Bearer {key}"}
        )

    @contextmanager
    def running(self, logs: Path) -> Iterator[None]:
        """Its processes, until the block ends; not all of them need be ready."""
        with ExitStack() as exits:
            for part in self.parts:
                log = exits.enter_context((logs / f"{part.name}-{part.port}.log").open("wb"))
                process = subprocess.Popen(
                    part.command, env=dict(part.environment), stdout=log, stderr=log
                )
                exits.callback(process.wait)
                exits.callback(process.terminate)
                self._processes.append(psutil.Process(process.pid))
            yield

    def cost(self, part: int, work: Callable[[], object]) -> Cost:
        """What `work` takes, by the clock and of the processors by process number `part`."""
        process = self._processes[part]
        before, started = sum(process.cpu_times()[:2]), time.perf_counter()
        work()
        return Cost(time.perf_counter() - started, sum(process.cpu_times()[:2]) - before)

    def embed(self, texts: Sequence[list[str]]) -> None:
        """Embed each list of texts in a request of its own, several at a time."""

        def one(batch: list[str]) -> None:
            self.embedding.post("/v1/embeddings", json={"input": batch}).raise_for_status()

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(one, texts))

    def ingest(self) -> None:
        """Hand in the document, and wait until it is found."""
        document = {"text": DOCUMENT, "source": "ports"}
        self.retriever.post("/v1/documents", json={"documents": [document]}).raise_for_status()
        while not self.retriever.post("/v1/search", json={"query": QUESTION}).json()["results"]:
            time.sleep(0.1)

    def ask(self, count: int) -> None:
        """Ask so many questions, one after another; their answers are short."""
        body = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 8}
        for _ in range(count):
            self.retriever.post("/v1/chat/completions", json=body).raise_for_status()


@contextmanager
def receiving() -> Iterator[str]:
    """An OTLP/HTTP receiver that throws away what it is sent; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def plan(folder: Path, port: int, llm: str, told: dict[str, str]) -> Side:
    """A side with its state in `folder`, on `port` and the next, in this environment."""
    kept = State(folder)
    key = ensure_key(kept.key)
    environment = {
        **os.environ,
        "EMBEDDING_PORT": str(port),
        "RETRIEVER_PORT": str(port + 1),
        "RETRIEVER_LLM_URL": llm,
        "RETRIEVER_TOOL_SERVERS": "{}",
        "RETRIEVER_REQUESTS_PER_MINUTE": "100000",
        "RETRIEVER_TOKENS_PER_MINUTE": "100000000",
        **told,
    }
    embedding, retriever = parts(kept, environment)
    return Side(embedding, retriever, key)


def interval(values: Sequence[float]) -> str:
    """The median and its 95% bootstrap interval."""
    rng = random.Random(0)  # noqa: S311 - no secret
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(2000))
    return f"{statistics.median(values):.3f} ({medians[50]:.3f} to {medians[1949]:.3f})"


def main(
    rounds: Annotated[int, typer.Option(help="Rounds of each measurement.")] = 30,
    requests: Annotated[int, typer.Option(help="Embedding requests a round.")] = 16,
    questions: Annotated[int, typer.Option(help="Questions a round.")] = 10,
) -> None:
    """Measure both, and print a table."""
    console = Console()
    words = prose().split()
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        sink = exits.enter_context(receiving())
        env = {**os.environ, "LLM_PORT": str(PORT), "RETRIEVER_EMBEDDING_URL": "http://x"}
        llm = next(part for part in parts(State(folder), env) if part.name == "llm")
        on = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink, "OTEL_METRICS_EXPORTER": "otlp"}
        off = {"OTEL_SDK_DISABLED": "true", "OTEL_METRICS_EXPORTER": "none"}
        url = f"{llm.url}/v1"
        sides = [
            plan(folder / "on", PORT + 1, url, on),
            plan(folder / "off", PORT + 3, url, off),
        ]
        log = exits.enter_context((folder / "llm.log").open("wb"))
        process = subprocess.Popen(llm.command, env=dict(llm.environment), stdout=log, stderr=log)
        exits.callback(process.wait)
        exits.callback(process.terminate)
        for side in sides:
            exits.enter_context(side.running(folder))
        for side in sides:
            await_ready([llm, *side.parts], console)
            side.ingest()
        embedded: list[tuple[Cost, Cost]] = []
        asked: list[tuple[Cost, Cost]] = []
        rng = random.Random(0)  # noqa: S311 - no secret
        for number in range(rounds + 1):
            batches = [
                [f"{number} {n} {m} {' '.join(rng.choices(words, k=WORDS))}" for m in range(TEXTS)]
                for n in range(requests)
            ]  # new ones each round: none is in the cache
            # Who comes first changes: what one leaves warm helps the other.
            order = sides if number % 2 else sides[::-1]
            took = {side: side.cost(0, partial(side.embed, batches)) for side in order}
            embedded.append((took[sides[0]], took[sides[1]]))
            took = {side: side.cost(1, partial(side.ask, questions)) for side in order}
            asked.append((took[sides[0]], took[sides[1]]))
    table = Table("what", "by the clock", "of the processors")
    ratio = [(a.wall / b.wall, a.cpu / b.cpu) for a, b in embedded[1:]]  # the first warms up
    table.add_row("embedding service, on / off", *map(interval, zip(*ratio, strict=True)))
    scale = 1000 / questions
    difference = [((a.wall - b.wall) * scale, (a.cpu - b.cpu) * scale) for a, b in asked[1:]]
    table.add_row(
        "retriever, on - off, ms a question", *map(interval, zip(*difference, strict=True))
    )
    console.print(table)
    bare = [(b.wall * scale, b.cpu * scale) for _, b in asked[1:]]
    wall, cpu = (statistics.median(one) for one in zip(*bare, strict=True))
    console.print(f"Without telemetry a question took {wall:.0f} ms, {cpu:.1f} of the retriever's.")
    console.print(f"{rounds} rounds; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    typer.run(main)
