"""Compare relevance gates, grounding weights and what is shown on a judged collection.

All ask a running stack for what the search finds, and try the rest here:

    python -m evaluation.sweep_answers gate --data squad --foreign cranfield
    python -m evaluation.sweep_answers shown --data squad
    python scripts/eval.py answers --data squad --out answers.json
    python -m evaluation.sweep_answers grounding answers.json --data squad
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import openai
import typer
from rich.console import Console
from rich.table import Table

from evaluation import answers as answering
from evaluation.beir import Dataset, load
from evaluation.bootstrap import Estimate, estimate
from evaluation.client import RetrieverClient
from evaluation.errors import EvaluationError
from evaluation.runner import ingest
from evaluation.squad import MARKER
from retriever.answer.cite import CitingStream
from retriever.answer.flow import BACKGROUND
from retriever.answer.ground import REPEATED, Evidence
from retriever.answer.shown import shown, tokens_of
from retriever.index.model import Hit, Scores
from retriever.settings import RetrieverSettings

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_show_locals=False)

Data = Annotated[Path, typer.Option(help="Folder in the BEIR layout.")]
Url = Annotated[str, typer.Option(help="Address of the retriever.")]
KeyFile = Annotated[Path, typer.Option(help="File that holds the API key.")]
Questions = Annotated[int, typer.Option(min=1, help="Questions of each kind.")]

ADDRESS, KEY_FILE = "http://127.0.0.1:8080", Path(".data/api-key")
# Not from the environment: what is compared are the defaults with other values.
DEFAULTS = RetrieverSettings.model_fields
LANGUAGE: str = DEFAULTS["language"].default
THRESHOLD: float = DEFAULTS["support_threshold"].default
TOKENS: int = DEFAULTS["source_tokens"].default
RELEVANCE: float = DEFAULTS["source_relevance"].default
MOST: int = DEFAULTS["top_k"].default

Row = tuple[str, ...]


async def found(client: RetrieverClient, question: answering.Question) -> list[Hit]:
    """What an answer would rest on: the chunks that the flow asks for, best first."""
    body = {"query": question.text, "top_k": BACKGROUND, "filters": question.filters}
    return [
        Hit(
            chunk_id=result.chunk_id,
            document_id=result.document_id,
            title=result.title,
            source=result.source,
            page=None,
            start=result.start,
            end=result.end,
            text=result.text,
            score=result.score,
            scores=Scores(dense=result.scores.dense, sparse=result.scores.sparse),
        )
        for result in (await client.search(body)).results
    ]


def chosen(hits: Sequence[Hit], tokens: int = TOKENS, relevance: float = RELEVANCE) -> list[Hit]:
    """Those that the model is shown."""
    return [hits[place] for place in shown(hits, tokens, MOST, relevance)]


def evidence(question: str, hits: Sequence[Hit], threshold: float, repeated: float) -> Evidence:
    """The evidence as the flow prepares it."""
    return Evidence(question, chosen(hits), hits, LANGUAGE, threshold, repeated)


# --- the relevance gate

GATES = [
    (weight, least)
    for weight, leasts in {
        0.0: (0.30, 0.40, 0.50),
        0.5: (0.45, 0.55, 0.65),
        1.0: (0.70, 0.80, 0.90),
    }.items()
    for least in leasts
]
"""What a share of the question's words counts beside the cosine, and the least sum that passes."""


async def gates(client: RetrieverClient, kinds: dict[str, list[answering.Question]]) -> list[Row]:
    """For every gate, the share of each kind of question that passes it."""
    measured: dict[str, list[tuple[float, float]]] = {}
    for kind, questions in kinds.items():
        for question in questions:
            hits = await found(client, question)
            cosines = [hit.scores.dense or 0.0 for hit in chosen(hits)]
            words = evidence(question.text, hits, THRESHOLD, REPEATED).coverage_of_question()
            measured.setdefault(kind, []).append((max(cosines, default=0.0), words))

    def passing(pairs: Sequence[tuple[float, float]], weight: float, least: float) -> str:
        passed = sum(cosine + weight * words >= least for cosine, words in pairs)
        return f"{passed / len(pairs):.2f}"

    return [
        (
            f"{weight}",
            f"{least:.2f}",
            *(passing(pairs, weight, least) for pairs in measured.values()),
        )
        for weight, least in GATES
    ]


@app.command("gate")
def gate_command(
    data: Data,
    foreign: Annotated[Path, typer.Option(help="Another collection, whose questions are foreign.")],
    questions: Questions = 200,
    url: Url = ADDRESS,
    key_file: KeyFile = KEY_FILE,
) -> None:
    """How many answerable, left-out and foreign questions pass each relevance gate."""
    dataset, other = load(data), load(foreign)
    kinds = {
        "answerable": answering.answerable(dataset, questions, 0),
        "left out": answering.left_out(dataset, questions, 0),
        "foreign": answering.foreign(dataset, other, questions, 0),
    }
    rows = measured(url, key_file, dataset, lambda client: gates(client, kinds))
    show(("words count", "least", *kinds), rows)


# --- the grounding check

WEIGHTS, THRESHOLDS = (0.0, 0.25, 0.5, 1.0), (0.5, 0.6, 0.7)


async def groundings(
    client: RetrieverClient, dataset: Dataset, records: list[dict[str, Any]]
) -> list[Row]:
    """For every weight and threshold, how many right and wrong answers get a citation."""
    outcomes: dict[tuple[float, float], dict[bool, list[bool]]] = {
        key: {True: [], False: []} for key in product(WEIGHTS, THRESHOLDS)
    }
    for record in records:
        question = answering.Question(
            "answerable",
            record["id"],
            record["question"],
            (),
            frozenset(),
            {"collection": dataset.name},
        )
        hits = await found(client, question)
        words = MARKER.sub("", record["answer"])
        for (weight, threshold), cited in outcomes.items():
            stream = CitingStream(evidence(question.text, hits, threshold, weight))
            stream.feed(words)
            stream.end()
            cited[record["contains_gold"]].append(bool(stream.citations))
    return [
        (f"{weight}", f"{threshold}", *(share(cited[right]) for right in (True, False)))
        for (weight, threshold), cited in outcomes.items()
    ]


@app.command("grounding")
def grounding_command(
    answers: Annotated[Path, typer.Argument(help="What `eval.py answers --out` wrote.")],
    data: Data,
    url: Url = ADDRESS,
    key_file: KeyFile = KEY_FILE,
) -> None:
    """How many answers with and without gold get a citation, by the check's two constants."""
    told = json.loads(answers.read_text(encoding="utf-8"))
    records = [r for r in told["records"] if r["kind"] == "answerable" and not r["abstained"]]
    dataset = load(data)
    rows = measured(url, key_file, dataset, lambda client: groundings(client, dataset, records))
    show(("repeated words count", "threshold", "cited, with gold", "cited, without"), rows)


# --- what is shown

BUDGETS, RELEVANCES = (300, 450, 600, 1200, 2400), (0.0, 0.7, 0.8, 0.9)
"""Tokens of chunks, and the share of the best one's worth that another must have."""
WORTHS: dict[str, Callable[[Hit], float]] = {
    "score": lambda hit: hit.score,
    "cosine": lambda hit: hit.scores.dense or 0.0,
}
"""What a chunk is taken to be worth; the product takes the score."""


async def showings(client: RetrieverClient, questions: list[answering.Question]) -> list[Row]:
    """For every worth, budget and share, how often the gold paragraph is shown, and its cost."""
    shown_at: dict[tuple[str, int, float], list[tuple[bool, int, float]]] = {
        key: [] for key in product(WORTHS, BUDGETS, RELEVANCES)
    }
    for question in questions:
        hits = await found(client, question)
        wanted = tuple(f"/{one}" for one in question.gold_documents)
        for (worth, tokens, relevance), got in shown_at.items():
            weighed = [replace(hit, score=WORTHS[worth](hit)) for hit in hits]
            seen = chosen(weighed, tokens, relevance)
            gold = any(hit.source.endswith(wanted) for hit in seen)
            got.append((gold, len(seen), sum(tokens_of(hit.text) for hit in seen)))
    return [
        (
            worth,
            f"{tokens}",
            f"{relevance}",
            share([gold for gold, _, _ in got]),
            f"{sum(chunks for _, chunks, _ in got) / len(got):.1f}",
            f"{sum(size for _, _, size in got) / len(got):.0f}",
        )
        for (worth, tokens, relevance), got in shown_at.items()
    ]


@app.command("shown")
def shown_command(
    data: Data,
    questions: Questions = 300,
    url: Url = ADDRESS,
    key_file: KeyFile = KEY_FILE,
) -> None:
    """How often the gold paragraph is shown, by budget of tokens and least relevance; no model."""
    dataset = load(data)
    asked = answering.answerable(dataset, questions, 0)
    rows = measured(url, key_file, dataset, lambda client: showings(client, asked))
    show(("worth", "budget", "least relevance", "gold is shown", "chunks", "tokens"), rows)


def measured(
    url: str,
    key_file: Path,
    dataset: Dataset,
    measure: Callable[[RetrieverClient], Coroutine[Any, Any, list[Row]]],
) -> list[Row]:
    """Index the collection, where it is not yet, and measure."""

    async def run(key: str) -> list[Row]:
        async with RetrieverClient(url, key, timeout=300) as client:
            await ingest(client, dataset, lambda _: None)
            return await measure(client)

    try:
        return asyncio.run(run(key_file.read_text(encoding="utf-8").strip()))
    except (EvaluationError, OSError, openai.OpenAIError) as error:
        Console(stderr=True).print(str(error), style="bold red", markup=False)
        raise typer.Exit(1) from error


def share(outcomes: Sequence[float]) -> str:
    """The share, or the mean, with its 95% bootstrap interval."""
    found: Estimate = estimate([float(outcome) for outcome in outcomes])
    if found.value is None:
        return "-"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f}) of {found.n}"


def more(these: Sequence[float], those: Sequence[float]) -> str:
    """By how much the second is more, with the 95% bootstrap interval over pairs."""
    gain: Estimate = estimate([float(b) - float(a) for a, b in zip(these, those, strict=True)])
    return f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"


def show(columns: Row, rows: Sequence[Row]) -> None:
    """Print a table."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console(width=max(Console().width, 200)).print(table)


if __name__ == "__main__":
    app()
