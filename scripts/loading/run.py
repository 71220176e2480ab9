"""One run: a plan is made, sent, summed up and written down."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from evaluation.beir import load
from evaluation.errors import DatasetError
from evaluation.report import provenance, write
from loading.calls import Caller, Target
from loading.errors import LoadError
from loading.generator import Due, closed_loop, open_loop
from loading.live import Live
from loading.outcome import Outcome
from loading.page import run_page
from loading.questions import Question, parse_mix, questions
from loading.schedule import Arrivals, arrivals
from loading.server_tokens import counted
from loading.summary import parse_slo, summarise

Json = dict[str, Any]


class Workload(StrEnum):
    """What is sent."""

    search = "search"
    chat = "chat"
    tools = "tools"
    ingest = "ingest"
    embeddings = "embeddings"


CALLS = {
    Workload.search: "search",
    Workload.chat: "chat",
    Workload.tools: "chat",
    Workload.ingest: "chat",  # beside documents, at a rate of their own
    Workload.embeddings: "embeddings",
}


@dataclass(frozen=True)
class Options:
    """A run, as the command line names it."""

    url: str
    data: Path
    workload: Workload = Workload.search
    key: str | None = None
    rate: float = 1.0
    duration: float = 30.0
    arrivals: Arrivals = Arrivals.poisson
    clients: int | None = None
    """A closed loop of so many clients; none: an open loop."""
    seed: int = 0
    mix: str = "zipf=0.6,unique=0.3,long=0.1"
    foreign: Path | None = None
    ingest_rate: float = 1.0
    model: str | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    timeout: float = 60.0
    warmup: float = 0.0
    slo: str = "ttft=300,itl=100,e2e=3000"
    metrics_url: str | None = None

    @property
    def settings(self) -> Json:
        """What is written beside the numbers; never the key."""
        return {
            "url": self.url,
            "data": self.data.resolve().name,
            "workload": self.workload.value,
            "loop": "open" if self.clients is None else "closed",
            "rate": None if self.clients else self.rate,
            "arrivals": self.arrivals.value,
            "clients": self.clients,
            "duration": self.duration,
            "seed": self.seed,
            "mix": self.mix,
            "foreign": self.foreign.resolve().name if self.foreign else None,
            "ingest_rate": self.ingest_rate if self.workload is Workload.ingest else None,
            "model": self.model,
            "top_k": self.top_k,
            "max_tokens": self.max_tokens,
            "timeout": self.timeout,
            "warmup": self.warmup,
        }


async def measure(options: Options) -> tuple[Json, list[Outcome]]:
    """Run and sum up. Raises `LoadError` where the options, data or server do not allow it."""
    asked = _questions(options)
    slo = parse_slo(options.slo)
    headers = {"Authorization": f"Bearer {options.key}"} if options.key else {}
    target = Target(
        options.url.rstrip("/").removesuffix("/v1"),
        options.timeout,
        options.model or await _first_model(options, headers),
        options.top_k,
        options.max_tokens,
        options.workload is Workload.tools,
        headers,
    )
    before = await counted(options.metrics_url) if options.metrics_url else None
    async with Caller(target) as caller:
        if options.clients is None:
            plan = _plan(options, asked)
            if not plan:
                raise LoadError("no request falls into this time at this rate")
            with Live(f"{options.workload} {options.rate:g}/s", len(plan)) as live:
                outcomes = await open_loop(caller, plan, live.began, live.ended)
        else:
            with Live(f"{options.workload} {options.clients} clients", None) as live:
                outcomes = await closed_loop(
                    caller,
                    options.clients,
                    options.duration,
                    CALLS[options.workload],
                    asked,
                    live.began,
                    live.ended,
                )
    summary = summarise(outcomes, slo, options.warmup, options.clients is None)
    if options.metrics_url and before is not None:
        after = await counted(options.metrics_url)
        summary["server_tokens"] = {side: after[side] - before.get(side, 0) for side in after}
        summary["client_tokens"] = {
            "prompt": sum(outcome.prompt_tokens or 0 for outcome in outcomes),
            "completion": sum(outcome.completion_tokens or 0 for outcome in outcomes),
        }
    result = provenance() | {"schema": 1, "settings": options.settings, "summary": summary}
    return result, outcomes


def save(folder: Path, result: Json, outcomes: list[Outcome]) -> None:
    """`result.json`, `requests.jsonl` and `index.html`, in a folder that is made."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "result.json", result)
    lines = b"".join(orjson.dumps(outcome.row()) + b"\n" for outcome in outcomes)
    (folder / "requests.jsonl").write_bytes(lines)
    (folder / "index.html").write_text(run_page(result, outcomes), encoding="utf-8")


def default_folder() -> Path:
    """Where a run goes that names no folder."""
    return Path(".data/loadtest") / time.strftime("%Y%m%d-%H%M%S")


def _questions(options: Options) -> Iterator[Question]:
    try:
        dataset = load(options.data)
        foreign = load(options.foreign) if options.foreign else None
    except DatasetError as error:
        raise LoadError(str(error)) from error
    return questions(dataset, parse_mix(options.mix), options.seed, foreign)


def _plan(options: Options, asked: Iterator[Question]) -> list[Due]:
    times = arrivals(options.arrivals, options.rate, options.duration, options.seed)
    plan = [Due(at, CALLS[options.workload], next(asked)) for at in times]
    if options.workload is Workload.ingest:
        every = arrivals(Arrivals.constant, options.ingest_rate, options.duration, options.seed)
        plan += [Due(at, "ingest", next(asked)) for at in every]
    return sorted(plan, key=lambda due: due.at)


async def _first_model(options: Options, headers: dict[str, str]) -> str | None:
    """The first model that the server has; search and documents need none."""
    if options.workload is Workload.search:
        return None
    async with Caller(
        Target(options.url.rstrip("/").removesuffix("/v1"), 10, headers=headers)
    ) as caller:
        try:
            return str((await caller.get("/v1/models"))["data"][0]["id"])
        except (
            aiohttp.ClientError,
            TimeoutError,
            OSError,
            ValueError,
            KeyError,
            IndexError,
        ) as error:
            problem = f"{type(error).__name__} {error}".strip()
            raise LoadError(f"{options.url} does not say its models: {problem}") from error
