"""What an ingestion costs those who search meanwhile, and how near it comes to the model's speed.

It starts a retriever and an embedding service of its own, on scratch data, and in one run measures
idle searches, the embedding service alone, an ingestion, and both of the former again; the same
probes search and ask for health in every part of it. What is compared are averages of before and
after, for the index has grown and the machine may be shared.

    python -m bench.ingest --data ../shared/data/squad [--documents 1000] [--out FILE]
"""

import asyncio
import itertools
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import httpx2
import psutil
import typer
import uvicorn
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from bench.database import database
from embedding.backend import SentenceTransformerBackend, Vectors
from embedding.main import create as create_embedding
from embedding.settings import EmbeddingSettings
from embedding.tokens import Kind, Tokens
from evaluation.beir import Dataset, load
from evaluation.bootstrap import percentiles
from evaluation.client import RetrieverClient
from evaluation.report import provenance, write
from retriever.index.model import ChunkSpan, NewDocument
from retriever.ingest.chunk import Chunker
from retriever.ingest.shapes import searchable_texts
from retriever.settings import RetrieverSettings

KEY = "bh_bench"
_HEALTH_SECONDS = 0.05
_SEARCH_SECONDS = 0.25
_IDLE_SECONDS = 15.0
_REQUEST_TEXTS = 16
_IN_FLIGHT = 6


class Counted(SentenceTransformerBackend):
    """The service's own backend, which also says how full its batches of documents were."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        super().__init__(settings)
        self._budget = settings.batch_tokens
        self._batches: list[list[int]] = []

    def encode(self, texts: Sequence[Tokens], kind: Kind) -> Vectors:
        if kind == "document":
            self._batches.append([len(tokens.ids) for tokens in texts])
        return super().encode(texts, kind)

    def fill(self) -> dict[str, float]:
        """Batches since the last call, and the mean share of the budget that they used."""
        batches, self._batches = self._batches, []
        shares = []
        for batch in batches:
            # A batch is full when one more text of its length would not have fitted.
            length = max(batch) if "document" in self.pads else statistics.mean(batch)
            shares.append(len(batch) / max(1, self._budget // length))
        return {"batches": len(batches), "fill": statistics.mean(shares) if shares else 0.0}


def serve_embedding(port: int) -> None:
    """The embedding service with the real model, in a process of its own."""
    settings = EmbeddingSettings(cache_texts=0)  # the same texts are embedded more than once here
    backend = Counted(settings)
    app = create_embedding(settings, backend)
    app.get("/bench/fill")(backend.fill)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


@contextmanager
def stack(folder: Path, port: int) -> Iterator[tuple[str, str, psutil.Process]]:
    """Both services on `port` and the next, PostgreSQL on one more; addresses and a process."""
    embedding = multiprocessing.get_context("spawn").Process(
        target=serve_embedding, args=(port + 1,), daemon=True
    )
    embedding.start()
    key = folder / "api-key"
    key.write_text(KEY)
    key.chmod(0o600)
    environment = {
        **os.environ,
        "RETRIEVER_PORT": str(port),
        "RETRIEVER_DATA_DIR": str(folder / "data"),
        "RETRIEVER_API_KEY_FILE": str(key),
        "RETRIEVER_EMBEDDING_URL": f"http://127.0.0.1:{port + 1}",
        "RETRIEVER_LLM_URL": "http://127.0.0.1:1/v1",
    }
    with database(folder, port + 2) as store:
        with (folder / "retriever.log").open("wb") as log:
            command = [sys.executable, "-m", "retriever"]
            retriever = subprocess.Popen(
                command, env={**environment, **store}, stdout=log, stderr=log
            )
        try:
            process = psutil.Process(retriever.pid)
            yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}", process
        finally:
            retriever.terminate()
            retriever.wait(30)
            embedding.terminate()
            embedding.join(30)


@dataclass
class Probes:
    """What callers saw meanwhile: milliseconds, and the retriever's memory in MiB."""

    health: list[float] = field(default_factory=list)
    search: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)


@asynccontextmanager
async def probing(
    url: str, questions: Iterator[str], process: psutil.Process
) -> AsyncIterator[Probes]:
    """Ask for health and search at a steady pace until the block ends."""
    probes = Probes()
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as http:

        async def health() -> None:
            while True:
                probes.health.append(await _milliseconds(http, "GET", "/healthz"))
                await asyncio.sleep(_HEALTH_SECONDS)

        async def search() -> None:
            while True:
                body = {"query": next(questions), "top_k": 5}
                probes.search.append(await _milliseconds(http, "POST", "/v1/search", body))
                probes.rss.append(process.memory_info().rss / 2**20)
                await asyncio.sleep(_SEARCH_SECONDS)

        tasks = [asyncio.create_task(one()) for one in (health, search)]
        try:
            yield probes
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if not isinstance(ended, asyncio.CancelledError):
                    raise RuntimeError("a probe failed") from ended


async def _milliseconds(
    http: httpx2.AsyncClient, method: str, path: str, body: dict[str, Any] | None = None
) -> float:
    started = perf_counter()
    (await http.request(method, path, json=body)).raise_for_status()
    return (perf_counter() - started) * 1000


def documents(dataset: Dataset, count: int, part: str) -> list[dict[str, str]]:
    """`count` documents of the collection, over again where it has fewer, each text its own."""
    corpus = itertools.cycle(one for one in dataset.corpus.values() if one.body)
    return [
        {"text": f"{one.body}\n{part} {n}", "title": one.title or one.id, "source": f"{part}/{n}"}
        for n, one in zip(range(count), corpus, strict=False)
    ]


def default_chunker(tokenizer: Tokenizer) -> Chunker:
    """What the retriever splits by, with its default settings."""
    settings = RetrieverSettings()
    return Chunker(tokenizer, settings.chunk_tokens, settings.chunk_overlap_tokens)


def chunk_texts(chunker: Chunker, handed_in: dict[str, str]) -> list[str]:
    """What the retriever embeds of this document."""
    text, title = handed_in["text"], handed_in["title"]
    spans = [
        ChunkSpan(chunk.start, chunk.end, None, chunk.heading)
        for chunk in chunker.split(text, markdown=False)
    ]
    return searchable_texts(NewDocument("", "", title, "text/plain", (), {}, text, (), spans))


async def embed_alone(url: str, texts: list[str]) -> float:
    """Seconds that the embedding service takes for the texts, kept busy as ingestion does."""
    requests = iter(
        [texts[first : first + _REQUEST_TEXTS] for first in range(0, len(texts), _REQUEST_TEXTS)]
    )
    async with httpx2.AsyncClient(base_url=url, timeout=300) as http:

        async def send() -> None:
            for batch in requests:
                body = {"input": batch, "encoding_format": "base64", "input_type": "document"}
                (await http.post("/v1/embeddings", json=body)).raise_for_status()

        started = perf_counter()
        await asyncio.gather(*(send() for _ in range(_IN_FLIGHT)))
        return perf_counter() - started


async def ingest(client: RetrieverClient, handed_in: list[dict[str, str]]) -> float:
    """Seconds from handing the documents in until the last is indexed."""
    started = perf_counter()
    accepted = await client.ingest(list(handed_in))
    async for job in client.follow(accepted.id):
        if job.counts.failed:
            raise RuntimeError(f"{job.counts.failed} documents failed")
    return perf_counter() - started


async def until_ready(url: str) -> None:
    """Wait until the service at `url` can serve. Raises TimeoutError after ten minutes."""
    async with asyncio.timeout(600), httpx2.AsyncClient(base_url=url) as http:
        while True:
            try:
                if (await http.get("/readyz")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.2)


@dataclass(frozen=True)
class Line:
    """One promise: what was measured, and the bound that it is held to."""

    name: str
    value: float
    bound: float
    unit: str
    at_most: bool = True

    @property
    def kept(self) -> bool:
        """Whether the promise holds."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound


async def measure(
    urls: tuple[str, str], process: psutil.Process, dataset: Dataset, count: int, console: Console
) -> tuple[list[Line], dict[str, Any]]:
    """The promises, and all that was measured for them."""
    url, embedding = urls
    await until_ready(embedding)
    await until_ready(url)
    questions = itertools.cycle(query.text for query in dataset.queries.values())
    handed_in = documents(dataset, count, "measured")
    async with httpx2.AsyncClient(base_url=embedding) as http:
        chunker = default_chunker(Tokenizer.from_str((await http.get("/v1/tokenizer")).text))
        texts = [text for one in handed_in for text in chunk_texts(chunker, one)]

        async def idle() -> Probes:
            async with probing(url, questions, process) as probes:
                await asyncio.sleep(_IDLE_SECONDS)
            return probes

        async def alone() -> float:
            async with probing(url, questions, process):
                return await embed_alone(embedding, texts)

        async with RetrieverClient(url, KEY, timeout=600) as client:
            console.print(f"  filling the index with {count} documents")
            await ingest(client, documents(dataset, count, "before"))
            console.print("  idle, and the embedding service alone")
            idles, alones = [await idle()], [await alone()]
            await http.get("/bench/fill")
            console.print(f"  ingesting {count} documents, {len(texts)} chunks")
            load_before = os.getloadavg()[0]
            async with probing(url, questions, process) as busy:
                seconds = await ingest(client, handed_in)
            fill = (await http.get("/bench/fill")).json()
            console.print("  idle, and the embedding service alone, again")
            idles.append(await idle())
            alones.append(await alone())
    p95 = statistics.mean(_percentile(one.search, 95) for one in idles)
    rate = count / seconds
    alone_rate = count / statistics.mean(alones)
    quarter = busy.rss[len(busy.rss) // 4]
    lines = [
        Line("/healthz p99 while ingesting", _percentile(busy.health, 99), 50, "ms"),
        Line("search p95 while ingesting", _percentile(busy.search, 95), 2 * p95, "ms"),
        Line("mean fill of batches", fill["fill"], 0.9, "", at_most=False),
        Line("memory at the end", busy.rss[-1], 1.1 * quarter, "MiB"),
        Line("ingestion / embedding alone", rate / alone_rate, 0.9, "", at_most=False),
    ]
    details = {
        "documents": count,
        "chunks": len(texts),
        "ingestion_seconds": seconds,
        "documents_per_second": rate,
        "embedding_alone_seconds": alones,
        "search_idle": [percentiles(one.search) for one in idles],
        "search_ingesting": percentiles(busy.search),
        "health_idle": [percentiles(one.health) for one in idles],
        "batches": fill,
        "rss_mib": {"quarter": quarter, "end": busy.rss[-1], "most": max(busy.rss)},
        "load_average": load_before,
    }
    return lines, details


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def main(
    data: Annotated[Path, typer.Option(help="A BEIR folder: documents and questions.")],
    count: Annotated[int, typer.Option("--documents", min=50, max=1000)] = 1000,
    port: Annotated[int, typer.Option(help="First of two free ports.")] = 18080,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
) -> None:
    """Measure an ingestion and what it does to searches; 1 where a promise is not kept."""
    console = Console()
    with (
        tempfile.TemporaryDirectory() as folder,
        stack(Path(folder), port) as (url, embedding, process),
    ):
        lines, details = asyncio.run(measure((url, embedding), process, load(data), count, console))
    table = Table(title=f"{count} documents, {details['documents_per_second']:.1f} a second")
    for column in ("promise", "measured", "bound", ""):
        table.add_column(column, justify="left" if column == "promise" else "right")
    for line in lines:
        sign = "≤" if line.at_most else "≥"
        verdict = "[green]kept" if line.kept else "[red]not kept"
        unit = f" {line.unit}" if line.unit else ""
        bound = f"{sign} {line.bound:.2f}{unit}"
        table.add_row(line.name, f"{line.value:.2f}{unit}", bound, verdict)
    console.print(table)
    console.print(f"  load average before the ingestion: {details['load_average']:.1f}")
    if out is not None:
        promises = [asdict(line) | {"kept": line.kept} for line in lines]
        write(out, {"provenance": provenance(), "promises": promises, "details": details})
    raise typer.Exit(0 if all(line.kept for line in lines) else 1)


if __name__ == "__main__":
    typer.run(main)
