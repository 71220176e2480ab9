"""Loads a retriever, or any OpenAI-compatible endpoint, and says how it bore it.

python scripts/loadtest.py --workload chat --rate 2 --duration 60 --data ../shared/data/squad
python scripts/loadtest.py sweep --workload search --low 5 --high 200 --data ../shared/data/squad
python scripts/loadtest.py compare .data/loadtest/before .data/loadtest/after

An open loop by default: requests are due on a schedule drawn from the seed, and latency counts
from the time a request was due, so a server that stalls cannot hide it. Exit status: 0; 1 where
`compare` finds B worse; 2 where a run was not possible; 3 where the generator was late.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from evaluation.report import provenance, write
from loading import compare as comparing
from loading import sweep as sweeping
from loading.errors import LoadError
from loading.page import knee_words, sweep_page
from loading.run import Options, Workload, default_folder, measure, save
from loading.schedule import Arrivals

WORSE, IMPOSSIBLE, INVALID = 1, 2, 3
T = TypeVar("T")

app = typer.Typer(
    help="Loads a retriever, or any OpenAI-compatible endpoint, and says how it bore it.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold the key
)

Url = Annotated[str, typer.Option(help="Address of the retriever or endpoint, without /v1.")]
KeyFile = Annotated[
    Path | None, typer.Option(help="File that holds the API key; none is sent if it is not there.")
]
Data = Annotated[Path, typer.Option(help="Folder in the BEIR layout: questions and judgements.")]
Work = Annotated[Workload, typer.Option(help="`ingest` is chat beside new documents.")]
Rate = Annotated[float, typer.Option(help="Requests a second.")]
Duration = Annotated[float, typer.Option(help="Seconds in which requests are due.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the schedule and of the questions.")]
Out = Annotated[Path | None, typer.Option(file_okay=False, help="Folder for what comes out.")]
Mix = Annotated[str, typer.Option(help="Weights of zipf, unique, foreign and long questions.")]
Foreign = Annotated[Path | None, typer.Option(help="A BEIR folder to ask foreign questions from.")]
Model = Annotated[str | None, typer.Option(help="Model to ask; the first one if unset.")]
TopK = Annotated[int | None, typer.Option(min=1, help="Chunks; the server's default if unset.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Of an answer.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds that a whole request may take.")]
Warmup = Annotated[float, typer.Option(min=0, help="Seconds at the start that do not count.")]
Slos = Annotated[str, typer.Option("--slo", help="Milliseconds of ttft, itl and e2e to keep.")]

ADDRESS, KEY_FILE = "http://127.0.0.1:8080", Path(".data/api-key")
MIX, SLO = Options.mix, Options.slo


@app.command()
def run(
    data: Data,
    url: Url = ADDRESS,
    key_file: KeyFile = KEY_FILE,
    workload: Work = Workload.search,
    rate: Rate = 1.0,
    duration: Duration = 30.0,
    arrivals: Annotated[Arrivals, typer.Option(help="How requests arrive.")] = Arrivals.poisson,
    clients: Annotated[
        int | None, typer.Option(min=1, help="A closed loop of so many clients instead.")
    ] = None,
    seed: Seed = 0,
    out: Out = None,
    mix: Mix = MIX,
    foreign: Foreign = None,
    ingest_rate: Annotated[float, typer.Option(help="Documents a second beside chat.")] = 1.0,
    model: Model = None,
    top_k: TopK = None,
    max_tokens: MaxTokens = None,
    timeout: Timeout = 60.0,
    warmup: Warmup = 0.0,
    slo: Slos = SLO,
    metrics_url: Annotated[
        str | None, typer.Option(help="Model server's /metrics, to set its tokens beside ours.")
    ] = None,
) -> None:
    """One run; the default command. Writes result.json, requests.jsonl and index.html."""
    options = Options(
        url=url,
        data=data,
        workload=workload,
        key=_key(key_file),
        rate=rate,
        duration=duration,
        arrivals=arrivals,
        clients=clients,
        seed=seed,
        mix=mix,
        foreign=foreign,
        ingest_rate=ingest_rate,
        model=model,
        top_k=top_k,
        max_tokens=max_tokens,
        timeout=timeout,
        warmup=warmup,
        slo=slo,
        metrics_url=metrics_url,
    )
    folder = out or default_folder()
    result, outcomes = _possible(measure(options))
    save(folder, result, outcomes)
    console = Console()
    _show(console, result["summary"])
    console.print(f"{folder / 'index.html'}", markup=False)
    if not result["summary"]["valid"]:
        raise typer.Exit(INVALID)


@app.command()
def sweep(
    data: Data,
    low: Annotated[float, typer.Option(help="Requests a second that surely hold.")] = 1.0,
    high: Annotated[float, typer.Option(help="Requests a second that surely do not.")] = 64.0,
    target: Annotated[float, typer.Option(min=0, max=1, help="Share to keep the SLOs.")] = 0.99,
    precision: Annotated[float, typer.Option(min=0.01, help="How near the ends must come.")] = 0.1,
    url: Url = ADDRESS,
    key_file: KeyFile = KEY_FILE,
    workload: Work = Workload.search,
    duration: Duration = 30.0,
    seed: Seed = 0,
    out: Out = None,
    mix: Mix = MIX,
    foreign: Foreign = None,
    model: Model = None,
    top_k: TopK = None,
    max_tokens: MaxTokens = None,
    timeout: Timeout = 60.0,
    warmup: Warmup = 2.0,
    slo: Slos = SLO,
) -> None:
    """Find the highest rate that keeps the SLOs, by bisection on goodput."""
    options = Options(
        url=url,
        data=data,
        workload=workload,
        key=_key(key_file),
        duration=duration,
        seed=seed,
        mix=mix,
        foreign=foreign,
        model=model,
        top_k=top_k,
        max_tokens=max_tokens,
        timeout=timeout,
        warmup=warmup,
        slo=slo,
    )
    folder = out or default_folder()
    runs: list[tuple[float, dict[str, Any]]] = []

    async def goodput(at: float) -> float:
        result, outcomes = await measure(replace(options, rate=at))
        save(folder / f"rate-{at:.2f}", result, outcomes)
        summary = result["summary"]
        runs.append((at, summary))
        if not summary["valid"]:
            raise LoadError(f"at {at:.2f} requests/s the generator was late: the run is invalid")
        return float(summary["all"]["goodput"]["share"]["value"])

    knee = _possible(sweeping.find_knee(goodput, low, high, target, precision))
    settings = options.settings | {"low": low, "high": high, "target": target}
    result = provenance() | {"schema": 1, "settings": settings, "knee": asdict(knee)}
    write(folder / "sweep.json", result)
    (folder / "index.html").write_text(sweep_page(result, knee, runs), encoding="utf-8")
    console = Console()
    console.print(knee_words(knee), markup=False)
    console.print(f"{folder / 'index.html'}", markup=False)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Folder of the run to compare with.")],
    b: Annotated[Path, typer.Argument(help="Folder of the run in question.")],
) -> None:
    """Say whether run B is worse than run A, with 95% bootstrap intervals; exit with 1 if so."""
    console = Console()
    try:
        differences = comparing.compare(comparing.read(a), comparing.read(b))
    except LoadError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(IMPOSSIBLE) from error
    table = Table("", "A", "B", "change", "95% interval", "")
    for one in differences:
        interval = f"{one.low:+.1%} to {one.high:+.1%}"
        cells = (f"{one.a:.3f}", f"{one.b:.3f}", f"{one.change:+.1%}", interval, one.verdict)
        table.add_row(one.name, *cells)
    console.print(table)
    if any(one.verdict == "worse" for one in differences):
        raise typer.Exit(WORSE)


def _possible(work: Awaitable[T]) -> T:
    async def awaited() -> T:
        return await work

    try:
        return asyncio.run(awaited())
    except LoadError as error:
        Console(stderr=True).print(str(error), style="bold red", markup=False)
        raise typer.Exit(IMPOSSIBLE) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


def _key(path: Path | None) -> str | None:
    if path is None or (path == KEY_FILE and not path.exists()):
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        Console(stderr=True).print(f"no key can be read from {path}", markup=False)
        raise typer.Exit(IMPOSSIBLE) from error


def _show(console: Console, summary: dict[str, Any]) -> None:
    columns = ("p50", "p90", "p95", "p99", "p99.9")
    for call, numbers in summary["calls"].items():
        table = Table(f"{call}, milliseconds", *columns, title_justify="left")
        for key, label in (
            ("latency_ms", "whole request, from when it was due"),
            ("first_token_ms", "first token, from when it was due"),
            ("between_tokens_ms", "between tokens"),
        ):
            if values := numbers[key]:
                table.add_row(label, *(f"{values[column]:,.1f}" for column in columns))
        console.print(table)
        share = numbers["goodput"]["share"]["value"]
        said = f"{numbers['requests']} requests, {numbers['requests_per_second']:.2f} good/s, "
        said += f"{share:.1%} kept the SLOs"
        if numbers["tokens"]["completion"]:
            said += f", {numbers['tokens']['completion_per_second']:.1f} tokens/s"
        quality = {
            name: one["value"]
            for name, one in numbers["quality"].items()
            if one["value"] is not None
        }
        said += "".join(f", {name} {value:.2f}" for name, value in quality.items())
        console.print(said, markup=False)
        if numbers["errors"]:
            console.print(f"errors: {json.dumps(numbers['errors'])}", style="red", markup=False)
    if "server_tokens" in summary:
        counts = (summary["client_tokens"], summary["server_tokens"])
        console.print(f"tokens: client {counts[0]}, server {counts[1]}", markup=False)
    lag = summary["lag_ms"]
    console.print(f"{summary['loop']} loop, generator lag p99 {lag['p99']:.2f} ms")
    if not summary["valid"]:
        console.print(
            "INVALID: the generator was late; its lateness is in every number", style="bold red"
        )


if __name__ == "__main__":
    # `run` is what flags without a command mean.
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first.startswith("-") and first != "--help":
        sys.argv.insert(1, "run")
    app()
