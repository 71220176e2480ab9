"""Measures retrieval and answers of a running retriever on a judged collection.

python scripts/eval.py retrieval --data ../shared/data/cranfield --out cranfield.json
python scripts/eval.py answers --data ../shared/data/squad --foreign ../shared/data/cranfield
python scripts/eval.py conversations --data ../shared/data/mtrag
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evaluation import answers as answering
from evaluation import conversations, report, retrieval, runner, shares
from evaluation.beir import Dataset, load, sample
from evaluation.bootstrap import percentiles
from evaluation.client import RetrieverClient
from evaluation.errors import ApiError, DatasetError, EvaluationError

# Locals may hold the key.
app = typer.Typer(
    help="Measures retrieval and answers of a running retriever on a judged collection.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


class Mode(StrEnum):
    """Search modes of the retriever."""

    hybrid = "hybrid"
    dense = "dense"
    sparse = "sparse"


Data = Annotated[Path, typer.Option(help="Folder in the BEIR layout.")]
Url = Annotated[str, typer.Option(help="Address of the retriever.")]
KeyFile = Annotated[Path, typer.Option(help="File that holds the API key.")]
Ingest = Annotated[bool, typer.Option(help="Index the collection first.")]
Rerank = Annotated[
    bool | None, typer.Option("--rerank/--no-rerank", help="Rerank; the server's default if unset.")
]
Concurrency = Annotated[int, typer.Option(min=1, help="Queries in flight.")]
Out = Annotated[Path | None, typer.Option(dir_okay=False, help="Write the result here, as JSON.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the sample and of the intervals.")]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds to wait for the server's next byte.")]
Split = Annotated[str, typer.Option(help="Judgements to use: qrels/SPLIT.tsv.")]
Count = Annotated[int | None, typer.Option(min=1, help="A seeded sample; all judged if unset.")]

# A result, and the queries that are missing from it.
Measured = tuple[dict[str, Any], list[runner.Failure]]

ADDRESS = "http://127.0.0.1:8080"
KEY_FILE = Path(".data/api-key")


@app.command("retrieval")
def retrieval_command(
    data: Data,
    url: Url = ADDRESS,
    key_file: KeyFile = KEY_FILE,
    mode: Annotated[Mode, typer.Option(help="What to search by.")] = Mode.hybrid,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="Documents to score.")] = 10,
    queries: Count = None,
    concurrency: Concurrency = 4,
    rerank: Rerank = None,
    ingest: Ingest = True,
    out: Out = None,
    seed: Seed = 0,
    split: Split = "test",
    timeout: Timeout = 120.0,
) -> None:
    """nDCG, recall, MRR and hit rate of search, with 95% bootstrap intervals over queries."""
    settings = retrieval.SearchSettings(mode.value, top_k, rerank)

    async def measure(progress: Progress) -> Measured:
        dataset = load(data, split)
        chosen = sample(list(dataset.qrels), queries, seed)
        async with RetrieverClient(url, _key(key_file), timeout) as client:
            started = await _prepare(client, dataset, ingest, progress)
            bar = progress.add_task("search", total=len(chosen))
            clock = perf_counter()
            rankings, failures = await runner.ask_all(
                chosen,
                lambda query_id: retrieval.search(client, dataset, query_id, settings),
                str,
                concurrency,
                lambda n: progress.advance(bar, n),
            )
            seconds = perf_counter() - clock
        scores = retrieval.score(dataset, rankings, top_k)
        return started | {
            "metrics": retrieval.summarise(scores, top_k, seed),
            "n": len(rankings),
            "short_rankings": sum(len(ranking.documents) < top_k for ranking in rankings),
            "settings": asdict(settings)
            | {"chunks": settings.chunks, "concurrency": concurrency, "seed": seed, "split": split},
            "seconds": seconds,
            "latency_ms": percentiles([ranking.latency_ms for ranking in rankings]),
            "timings_ms": report.timings(ranking.timings for ranking in rankings),
            "queries": [asdict(r) | {"scores": scores[r.query_id]} for r in rankings],
        }, failures

    result, failures = _run(measure, out)
    console = Console()
    title = f"{data.resolve().name}: {mode.value}, {result['n']} queries"
    console.print(report.estimates_table(title, result["metrics"]))
    latencies = {"whole call": result["latency_ms"]} | result["timings_ms"]
    console.print(report.costs_table("milliseconds", latencies))
    _finish(console, failures)


@app.command("answers")
def answers_command(
    data: Data,
    url: Url = ADDRESS,
    key_file: KeyFile = KEY_FILE,
    queries: Annotated[int, typer.Option(min=1, help="Answerable questions to ask.")] = 200,
    unanswerable: Annotated[
        int, typer.Option(min=0, help="Questions to ask without their paragraph, and foreign ones.")
    ] = 100,
    foreign: Annotated[
        Path | None, typer.Option(help="Another BEIR folder, whose questions should be declined.")
    ] = None,
    stream: Annotated[bool, typer.Option(help="Stream, to time the first words.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Model to ask; the server's first if unset.")
    ] = None,
    mode: Annotated[Mode | None, typer.Option(help="The server's default if unset.")] = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Chunks; the server's default if unset.")
    ] = None,
    rerank: Rerank = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="The server's default if unset.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="The server's default if unset.")
    ] = None,
    concurrency: Concurrency = 1,
    ingest: Ingest = True,
    out: Out = None,
    show: Annotated[int, typer.Option(min=0, help="Failures to print, of each kind.")] = 0,
    seed: Seed = 0,
    split: Split = "test",
    timeout: Timeout = 300.0,
) -> None:
    """Gold answers, citations, grounding and abstention, with 95% bootstrap intervals."""

    async def measure(progress: Progress) -> Measured:
        dataset = load(data, split)
        other = load(foreign, split) if foreign is not None else None
        questions = answering.answerable(dataset, queries, seed)
        if not questions:
            raise DatasetError(f"no question in {data} has both a gold answer and a gold paragraph")
        questions += answering.left_out(dataset, unanswerable, seed)
        if other is not None:
            questions += answering.foreign(dataset, other, unanswerable, seed)
        async with RetrieverClient(url, _key(key_file), timeout) as client:
            started = await _prepare(client, dataset, ingest, progress)
            settings = answering.ChatSettings(
                model or await _first_model(client),
                stream,
                mode.value if mode else None,
                top_k,
                rerank,
                temperature,
                max_tokens,
            )
            bar = progress.add_task("ask", total=len(questions))
            clock = perf_counter()
            records, failures = await runner.ask_all(
                questions,
                lambda question: answering.ask(client, dataset, question, settings),
                lambda question: question.name,
                concurrency,
                lambda n: progress.advance(bar, n),
            )
            seconds = perf_counter() - clock
        kinds = list(dict.fromkeys(question.kind for question in questions))
        return started | {
            "metrics": {kind: shares.summarise(records, kind, seed) for kind in kinds},
            "n": {kind: sum(record.kind == kind for record in records) for kind in kinds},
            "settings": asdict(settings)
            | {"foreign": other.name if other else None, "concurrency": concurrency}
            | {"seed": seed, "split": split},
            "seconds": seconds,
            "costs": {
                kind: shares.costs([record for record in records if record.kind == kind])
                for kind in kinds
            },
            "timings_ms": report.timings(record.timings for record in records),
            "records": records,
        }, failures

    result, failures = _run(measure, out)
    console = Console()
    for kind, estimates in result["metrics"].items():
        asked = f"{data.resolve().name}: {kind}, {result['n'][kind]} questions"
        console.print(report.estimates_table(asked, estimates))
        console.print(report.costs_table(f"{kind}: milliseconds, tokens", result["costs"][kind]))
    console.print(report.costs_table("all: milliseconds by stage", result["timings_ms"]))
    for kind in result["metrics"]:
        bad = [r for r in result["records"] if r.kind == kind and shares.failed(r)]
        for record in bad[:show]:
            report.show_record(console, record)
    _finish(console, failures)


@app.command("conversations")
def conversations_command(
    data: Data,
    url: Url = ADDRESS,
    key_file: KeyFile = KEY_FILE,
    queries: Count = None,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="Chunks to score.")] = 5,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer; it is not scored.")] = 1,
    concurrency: Concurrency = 1,
    ingest: Ingest = True,
    out: Out = None,
    seed: Seed = 0,
    split: Split = "test",
    timeout: Timeout = 300.0,
) -> None:
    """What a question finds in its conversation, and alone, with 95% bootstrap intervals."""
    settings = conversations.Settings(top_k, max_tokens)

    async def measure(progress: Progress) -> Measured:
        dataset = load(data, split)
        chosen = sample(conversations.several_turns(dataset), queries, seed)
        async with RetrieverClient(url, _key(key_file), timeout) as client:
            started = await _prepare(client, dataset, ingest, progress)
            bar = progress.add_task("converse", total=len(chosen))
            clock = perf_counter()
            done, failures = await runner.ask_all(
                chosen,
                lambda query_id: conversations.converse(client, dataset, query_id, settings),
                str,
                concurrency,
                lambda n: progress.advance(bar, n),
            )
            seconds = perf_counter() - clock
        return started | {
            "metrics": conversations.summarise(dataset, done, settings, seed),
            "n": len(done),
            "settings": asdict(settings)
            | {"concurrency": concurrency, "seed": seed, "split": split},
            "seconds": seconds,
            "conversations": [asdict(one) for one in done],
        }, failures

    result, failures = _run(measure, out)
    console = Console()
    for way, estimates in result["metrics"].items():
        title = f"{data.resolve().name}, {result['n']} conversations: {way}"
        console.print(report.estimates_table(title, estimates))
    _finish(console, failures)


def _run(
    measure: Callable[[Progress], Coroutine[Any, Any, Measured]], out: Path | None
) -> Measured:
    """Measure under a progress bar, add where the numbers come from, and write them to `out`."""
    errors = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)  # now, not after the measurement
        with Progress(*columns, TimeElapsedColumn(), console=errors) as progress:
            result, failures = asyncio.run(measure(progress))
        result = report.provenance() | result | {"failures": failures}
        if out is not None:
            report.write(out, result)
    except (EvaluationError, OSError) as error:
        errors.print(str(error), style="bold red", markup=False)
        raise typer.Exit(1) from error
    return result, failures


async def _prepare(
    client: RetrieverClient, dataset: Dataset, ingest: bool, progress: Progress
) -> dict[str, Any]:
    """See that the retriever answers, and index the collection where that is asked for."""
    ready = await client.ready()
    counts = None
    if ingest:
        bar = progress.add_task("index", total=len(dataset.corpus) - len(dataset.blank))
        counts = await runner.ingest(client, dataset, lambda n: progress.advance(bar, n))
        left_out = f", {len(dataset.blank)} left out as blank" if dataset.blank else ""
        progress.console.print(
            f"{dataset.name}: {counts.added} added, {counts.replaced} replaced, "
            f"{counts.unchanged} unchanged{left_out}",
            markup=False,
        )
    return {
        "collection": dataset.name,
        "documents": len(dataset.corpus),
        "blank_documents": dataset.blank,
        "ready": ready,
        "ingest": counts.model_dump() if counts else None,
    }


async def _first_model(client: RetrieverClient) -> str:
    models = await client.models()
    if not models:
        raise ApiError("the retriever offers no model")
    return models[0]


def _key(path: Path) -> str:
    try:
        key = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise ApiError(
            f"no key at {path}: start the stack with `make serve`, or name the file by --key-file"
        ) from error
    if not key:
        raise ApiError(f"the key file {path} is empty")
    return key


def _finish(console: Console, failures: list[runner.Failure]) -> None:
    report.show_failures(console, failures)
    if failures:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
