"""What telemetry costs: the same requests with it and without it, in turns, in one run.

Two embedding services and two retrievers run as processes; one of each sends spans and metrics to
a receiver that throws them away, the other has OpenTelemetry's SDK switched off. A scripted model
answers both, so that no model's time is in the numbers. Texts are embedded in rounds, by one side
and then the other; questions are asked by turns, one here and one there.

Wall time is what a client sees. Processor time is the kernel's count for all threads of a process,
in nanoseconds, over the whole of a block: what the threads that export have in between is counted.
Two processes that run the same code differ by some 3% from one start to the next, as memory and
hashes fall out, which is more than telemetry costs. So all four are started several times. Of each
start the median ratio of its rounds and the mean difference of its blocks is taken; printed is the
mean over the starts with its 95% bootstrap interval.

    python -m bench.telemetry [--starts N] [--rounds N] [--blocks N]
"""

import os
import random
import statistics
import subprocess
import sys
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

import httpx2
import typer
from rich.console import Console
from rich.table import Table

from bench.database import database
from bench.embedding import prose
from embedded.parts import Part, State, parts
from embedded.preflight import ensure_key
from embedded.readiness import await_ready

PORT = 19860
CLIENTS, TEXTS, WORDS = 8, 8, 60
ANSWER = 40
"""Words of an answer."""
QUESTION = "Which port does the retriever listen on?"
DOCUMENT = "The retriever listens on port 8080. The embedding service listens on port 8081."


@dataclass(frozen=True)
class Cost:
    """What a block of work took."""

    wall: float
    cpu: float


class Side:
    """An embedding service, a retriever and its parser, with telemetry or without."""

    def __init__(self, embedding: Part, retriever: Part, parser: Part, key: str) -> None:
        self.parts = (embedding, retriever, parser)
        self._pids: list[int] = []
        self.embedding = httpx2.Client(base_url=embedding.url, timeout=120)
        self.retriever = httpx2.Client(
            base_url=retriever.url, timeout=120, headers={"Authorization": f"Bearer {key}"}
        )

    @contextmanager
    def running(self, logs: Path) -> Iterator[None]:
        """Its processes, until the block ends; not all of them need be ready."""
        with ExitStack() as exits:
            for part in self.parts:
                path = logs / f"{part.name}-{self.parts[1].address.port}.log"
                log = exits.enter_context(path.open("wb"))
                process = subprocess.Popen(
                    part.command, env=dict(part.environment), stdout=log, stderr=log
                )
                exits.callback(process.wait)
                exits.callback(process.terminate)
                self._pids.append(process.pid)
            yield

    def processor(self, part: int) -> float:
        """Seconds that all threads of process number `part` have had of the cores."""
        return time.clock_gettime(~self._pids[part] << 3 | 2)  # its CPU-time clock, as Linux has it

    def cost(self, part: int, work: Callable[[], object]) -> Cost:
        """What `work` takes, by the clock and of the processors by process number `part`."""
        before, started = self.processor(part), time.perf_counter()
        work()
        return Cost(time.perf_counter() - started, self.processor(part) - before)

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

    def ask(self, question: str) -> float:
        """Ask, and read the whole stream; the seconds that took."""
        message = {"role": "user", "content": question}
        body = {"messages": [message], "max_tokens": ANSWER, "stream": True}
        started = time.perf_counter()
        reply = self.retriever.post("/v1/chat/completions", json=body).raise_for_status()
        took = time.perf_counter() - started
        assert "[DONE]" in reply.text and '"error"' not in reply.text, reply.text
        return took


def ask_by_turns(on: Side, off: Side, block: int, questions: int) -> list[Cost]:
    """A block of questions; what one cost more with telemetry, in all and at the retriever.

    Each is new, so that it is embedded; both sides are asked the same.
    """
    before = [(side.processor(0), side.processor(1)) for side in (on, off)]
    extra = []
    for n in range(questions):
        question = f"{QUESTION} ({block}, {n})"
        # Who comes first changes: what one leaves warm helps the other.
        took = {side: side.ask(question) for side in ((on, off) if n % 2 else (off, on))}
        extra.append(took[on] - took[off])
    after = [(side.processor(0), side.processor(1)) for side in (on, off)]
    embedding, retriever = (
        ((after[0][part] - before[0][part]) - (after[1][part] - before[1][part])) / questions
        for part in (0, 1)
    )
    wall = statistics.median(extra)
    return [Cost(wall, embedding + retriever), Cost(wall, retriever)]


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
        "RETRIEVER_TOOL_SERVERS_FILE": "/dev/null",
        "RETRIEVER_RELEVANCE": "-1",  # every question is worth asking
        "RETRIEVER_REQUESTS_PER_MINUTE": "100000",
        "RETRIEVER_TOKENS_PER_MINUTE": "100000000",
        **told,
    }
    found = {part.name: part for part in parts(kept, environment)}
    return Side(found["embedding"], found["retriever"], found["parser"], key)


def interval(values: Sequence[float]) -> str:
    """The mean of the values and its 95% bootstrap interval."""
    rng = random.Random(0)  # noqa: S311 - no secret
    drawn = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(2000))
    return f"{statistics.fmean(values):.3f} ({drawn[50]:.3f} to {drawn[1949]:.3f})"


def measure(
    on: Side, off: Side, rounds: int, requests: int, blocks: int, questions: int
) -> tuple[list[tuple[Cost, Cost]], list[list[Cost]], float]:
    """The rounds of embedding, the blocks of questions, and what one takes without telemetry."""
    rng, words = random.Random(0), prose().split()  # noqa: S311 - no secret
    embedded = []
    for number in range(rounds + 1):
        batches = [
            [f"{number} {n} {m} {' '.join(rng.choices(words, k=WORDS))}" for m in range(TEXTS)]
            for n in range(requests)
        ]  # new ones each round: none is in the cache
        order = (on, off) if number % 2 else (off, on)
        took = {side: side.cost(0, partial(side.embed, batches)) for side in order}
        embedded.append((took[on], took[off]))
    asked = []
    bare = off.processor(1)
    for block in range(blocks + 1):
        asked.append(ask_by_turns(on, off, block, questions))
    bare = (off.processor(1) - bare) / (questions * (blocks + 1))
    return embedded[1:], asked[1:], bare  # the first of each warms up


@dataclass(frozen=True)
class Start:
    """What one start of all processes gave: with telemetry against without."""

    embedding: Cost
    """A ratio."""
    both: Cost
    """Seconds a question, with less without; as the next."""
    retriever: Cost
    bare: float
    """Processor seconds of a question at the retriever without telemetry."""


def started(
    folder: Path, llm: str, sink: str, swapped: bool, amounts: tuple[int, int, int, int]
) -> Start:
    """Start both sides anew, measure, and end them."""
    console = Console(quiet=True)
    told = [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": sink, "OTEL_METRICS_EXPORTER": "otlp"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_METRICS_EXPORTER": "none"},
    ]
    ports = (PORT + 3, PORT + 1) if swapped else (PORT + 1, PORT + 3)
    with ExitStack() as exits:
        sides = []
        for port, of in zip(ports, told, strict=True):
            (place := folder / str(port)).mkdir()
            state = exits.enter_context(database(place, port + 4))
            sides.append(plan(place, port, llm, of | state))
        for side in reversed(sides) if swapped else sides:
            exits.enter_context(side.running(folder))
        for side in sides:
            await_ready(side.parts, console)
            side.ingest()
        embedded, asked, bare = measure(sides[0], sides[1], *amounts)
    ratios = [(a.wall / b.wall, a.cpu / b.cpu) for a, b in embedded]
    both, retriever = (
        Cost(statistics.median(c.wall for c in costs), statistics.fmean(c.cpu for c in costs))
        for costs in zip(*asked, strict=True)
    )
    embedding = Cost(*(statistics.median(side) for side in zip(*ratios, strict=True)))
    return Start(embedding, both, retriever, bare)


def main(
    starts: Annotated[int, typer.Option(min=2, help="Times that all is started.")] = 8,
    rounds: Annotated[int, typer.Option(help="Rounds of embedding, a start.")] = 6,
    requests: Annotated[int, typer.Option(help="Embedding requests a round.")] = 8,
    blocks: Annotated[int, typer.Option(help="Blocks of questions, a start.")] = 4,
    questions: Annotated[int, typer.Option(help="Questions a block, to each side.")] = 50,
) -> None:
    """Measure both, and print a table."""
    console = Console()
    seen = []
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        sink = exits.enter_context(receiving())
        log = exits.enter_context((folder / "llm.log").open("wb"))
        command = [sys.executable, "-m", "bench.scripted", str(PORT), "100000"]
        model = subprocess.Popen(command, stdout=log, stderr=log)
        exits.callback(model.wait)
        exits.callback(model.terminate)
        llm = f"http://127.0.0.1:{PORT}/v1"
        for number in range(starts):
            place = folder / str(number)
            place.mkdir()
            amounts = (rounds, requests, blocks, questions)
            seen.append(started(place, llm, sink, bool(number % 2), amounts))
            console.print(f"  start {number + 1} of {starts}", end="\r")
    table = Table("what", "by the clock", "of the processors")
    for name, costs, factor in (
        ("embedding service, on / off", [one.embedding for one in seen], 1),
        ("question, both services, on - off, ms", [one.both for one in seen], 1000),
        ("question, retriever alone, on - off, ms", [one.retriever for one in seen], 1000),
    ):
        wall = interval([factor * cost.wall for cost in costs])
        table.add_row(name, wall, interval([factor * cost.cpu for cost in costs]))
    console.print(table)
    bare = statistics.fmean(one.bare for one in seen)
    console.print(f"Without telemetry a question takes {1000 * bare:.1f} ms of the retriever's.")
    console.print(f"{starts} starts; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    typer.run(main)
