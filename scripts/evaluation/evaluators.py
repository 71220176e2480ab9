"""Measure what each evaluator of answers sees, and what it does not, on a judged collection.

    python -m evaluation.evaluators --data ../shared/data/squad
    python -m evaluation.evaluators --data ../shared/data/squad --detector hhem --weights DIR

The lexical check always runs; a detector needs its weights. A judge is measured by
`evaluation.calibrate`.
"""

import asyncio
import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from evaluation.auroc import auroc
from evaluation.beir import load
from evaluation.bootstrap import estimate
from evaluation.claims import KINDS, Claim, Kind, claims
from evaluation.errors import EvaluationError
from quality.detector import DetectorEvaluator
from quality.detectors import DetectorKind
from quality.detectors import load as load_detector
from quality.evaluation import Evaluator, Sample, Unscored, Verdict
from quality.settings import QualitySettings
from retriever.answer.ground import EVALUATOR, Evidence
from retriever.answer.sentences import sentences
from retriever.index.model import Hit
from retriever.settings import RetrieverSettings

# Not from the environment: what is measured are the defaults.
LANGUAGE: str = RetrieverSettings.model_fields["language"].default
SUPPORT: float = RetrieverSettings.model_fields["support_threshold"].default
THRESHOLD: float = QualitySettings.model_fields["threshold"].default
MOST_TOKENS: int = QualitySettings.model_fields["detector_tokens"].default


def lexical(claim: Claim) -> Verdict:
    """The retriever's own check, as it is made of every answer.

    The score is the worst sentence's; names or numbers that are missing put it below all others.
    """
    hits = [
        Hit(one.id, one.id, one.title, one.id, None, 0, len(one.text), one.text, 0.0)
        for one in claim.paragraphs
    ]
    evidence = Evidence(claim.question, hits[: len(claim.shown)], hits, LANGUAGE, SUPPORT)
    found = [evidence.supports(claim.text[start:end]) for start, end in sentences(claim.text)]
    scores = [one.score if one.supported else one.score - 1 for parts in found for one in parts]
    if not scores:
        raise Unscored("nothing_to_check")
    return Verdict("supported" if min(scores) > 0 else "unsupported", min(scores))


async def verdict(evaluator: Evaluator | None, claim: Claim) -> Verdict:
    """The verdict of an evaluator, or of the lexical check where there is none."""
    if evaluator is None:
        return lexical(claim)
    return await evaluator.evaluate(sample_of(claim))


def sample_of(claim: Claim) -> Sample:
    """The claim as an answer is handed over."""
    sources = [f"{one.title}\n{one.text}" for one in claim.shown]
    return Sample(response_id="claim", question=claim.question, answer=claim.text, sources=sources)


async def measure(name: str, evaluator: Evaluator | None, made: list[Claim]) -> Table:
    """What one evaluator says of all the claims."""
    scores: dict[Kind, list[float]] = defaultdict(list)
    blamed: dict[Kind, list[float]] = defaultdict(list)
    unscored: dict[Kind, int] = defaultdict(int)
    started = time.perf_counter()
    for claim in made:
        try:
            said = await verdict(evaluator, claim)
        except Unscored:
            unscored[claim.kind] += 1
        else:
            scores[claim.kind].append(said.score)
            blamed[claim.kind].append(float(said.label == "unsupported"))
    taken = (time.perf_counter() - started) / len(made) * 1000
    title = f"{name}: {taken:.1f} ms a claim"
    table = Table("claim", "n", "unscored", "called unsupported", "AUROC", title=title)
    for kind in KINDS:
        share = estimate(blamed[kind])
        area = auroc(scores["supported"], scores[kind]) if kind != "supported" else None
        told = [
            "-"
            if one is None or one.value is None
            else f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
            for one in (share, area)
        ]
        table.add_row(kind, str(len(scores[kind])), str(unscored[kind]), *told)
    return table


def main(
    data: Annotated[Path, typer.Option(help="Folder in the BEIR layout, with answers.")],
    count: Annotated[int, typer.Option(min=1, help="Questions to make claims from.")] = 500,
    seed: Annotated[int, typer.Option(help="Draws the questions.")] = 0,
    detector: Annotated[DetectorKind | None, typer.Option(help="An encoder to measure.")] = None,
    weights: Annotated[Path, typer.Option(help="Folder of the detector.")] = Path(),
) -> None:
    """A table for each evaluator that can run here."""
    console = Console(width=max(Console().width, 110))

    async def run() -> None:
        made = claims(load(data), count, seed)
        console.print(await measure(EVALUATOR, None, made))
        if detector is not None:
            model = load_detector(detector, weights, MOST_TOKENS, 2)
            evaluator = DetectorEvaluator(detector, model, THRESHOLD)
            console.print(await measure(detector, evaluator, made))

    try:
        asyncio.run(run())
    except (EvaluationError, OSError, ValueError) as error:
        Console(stderr=True).print(str(error), style="bold red", markup=False)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    typer.run(main)
