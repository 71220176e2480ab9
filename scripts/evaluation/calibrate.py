"""Choose a judge's threshold on one half of made claims, and report on the other.

    python -m evaluation.calibrate --data ../shared/data/squad \\
        --judge http://127.0.0.1:8000/v1 --judge-key-file .data/llm-key --scores scores.jsonl

Each score is kept in a file as it comes, so a run that was ended goes on where it was. The halves
share no question. The threshold is the highest that blames few enough of the true sentences of the
first half; the tables are of the second half alone.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bulkhead.settings import read_secret
from evaluation.auroc import auroc
from evaluation.beir import load
from evaluation.bootstrap import Estimate, estimate
from evaluation.claims import KINDS, Claim, Kind, claims
from evaluation.errors import EvaluationError
from evaluation.evaluators import lexical, sample_of
from quality.combined import NAME as TOGETHER
from quality.combined import combined
from quality.evaluation import Unscored, Verdict
from quality.judge import Judge
from retriever.answer.ground import EVALUATOR

FALSE_ALARMS = 0.03
"""The share of true sentences that the threshold may blame, on the half that it is chosen on."""

SEEN: tuple[Kind, ...] = ("foreign sentence",)
"""Kinds that are left out: the lexical check sees all of them."""


@dataclass(frozen=True)
class Scored:
    """A claim, the judge's score of it, and the lexical check's verdict."""

    question: str
    kind: Kind
    score: float
    lexical: Verdict

    def judged(self, threshold: float) -> Verdict:
        """The judge's verdict."""
        return Verdict("supported" if self.score >= threshold else "unsupported", self.score)

    def together(self, threshold: float) -> Verdict:
        """Both together."""
        return combined(self.lexical.label, self.judged(threshold))


def halves(made: Sequence[Scored]) -> tuple[list[Scored], list[Scored]]:
    """The claims about every other question, and the others."""
    order = {question: n for n, question in enumerate(dict.fromkeys(one.question for one in made))}
    first = [one for one in made if order[one.question] % 2 == 0]
    return first, [one for one in made if order[one.question] % 2]


def chosen(true: Sequence[float], false_alarms: float = FALSE_ALARMS) -> float:
    """The highest threshold that blames at most this share of the true ones; raises `ValueError`.

    Halfway to the next lower score, for a threshold on a score is a coin's edge.
    """
    if not true:
        raise ValueError("there is no true sentence to calibrate on")
    ordered = sorted(true)
    place = int(false_alarms * len(ordered))
    below = ordered[place - 1] if place else 0.0
    return (ordered[place] + below) / 2


async def scored(judge: Judge, made: Sequence[Claim], kept: Path) -> list[Scored]:
    """The claims with the judge's score, from the file `kept` or asked now and added to it.

    Raises `EvaluationError` where the judge gives none: a table of what is left would mislead.
    """
    found = list[Scored]()
    with kept.open("a+", encoding="utf-8") as file:
        file.seek(0)
        lines = map(json.loads, file)
        known = {(one["question"], one["text"]): float(one["score"]) for one in lines}
        for claim in track(made, "judging"):
            key = claim.question, claim.text
            if key not in known:
                try:
                    known[key] = await judge.score(sample_of(claim))
                except Unscored as error:
                    raise EvaluationError(f"a claim was not judged: {error}") from error
                told = {"question": key[0], "text": key[1], "score": known[key]}
                file.write(f"{json.dumps(told)}\n")
                file.flush()
            found.append(Scored(claim.question, claim.kind, known[key], lexical(claim)))
    return found


def table(found: Sequence[Scored], name: str, said: Callable[[Scored], Verdict]) -> Table:
    """How often each kind is called unsupported, and how well the score parts it from the true."""
    verdicts: dict[Kind, list[Verdict]] = defaultdict(list)
    for one in found:
        verdicts[one.kind].append(said(one))
    out = Table("claim", "n", "called unsupported", "AUROC", title=name)
    for kind in (one for one in KINDS if one not in SEEN):
        share = estimate([float(one.label == "unsupported") for one in verdicts[kind]])
        area = None
        if kind != "supported":
            scores = {of: [one.score for one in verdicts[of]] for of in ("supported", kind)}
            area = auroc(scores["supported"], scores[kind])
        out.add_row(kind, str(len(verdicts[kind])), _shown(share), _shown(area))
    return out


def _shown(one: Estimate | None) -> str:
    if one is None or one.value is None:
        return "-"
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def main(
    data: Annotated[Path, typer.Option(help="Folder in the BEIR layout, with answers.")],
    judge: Annotated[str, typer.Option(help="Address of a model server, ending in /v1.")],
    judge_key_file: Annotated[Path | None, typer.Option(help="Its key, as .data/llm-key.")] = None,
    *,
    scores: Annotated[Path, typer.Option(help="The file of scores, one of JSON a line.")],
    count: Annotated[int, typer.Option(min=2, help="Questions to make claims from.")] = 120,
    seed: Annotated[int, typer.Option(help="Draws the questions.")] = 0,
) -> None:
    """Tables of the judge, of the lexical check and of both together."""
    console = Console(width=max(Console().width, 100))

    async def run() -> list[Scored]:
        made = [one for one in claims(load(data), count, seed) if one.kind not in SEEN]
        async with httpx2.AsyncClient() as http:
            key = read_secret(judge_key_file) if judge_key_file else "none"
            asked = Judge(http, judge, key, timeout=600, threshold=0.5)
            await asked.look()
            return await scored(asked, made, scores)

    try:
        first, second = halves(asyncio.run(run()))
        threshold = chosen([one.score for one in first if one.kind == "supported"])
    except (EvaluationError, OSError, ValueError) as error:
        Console(stderr=True).print(str(error), style="bold red", markup=False)
        raise typer.Exit(1) from error
    console.print(f"threshold {threshold:.4f}")
    console.print(table(second, "judge", lambda one: one.judged(threshold)))
    console.print(table(second, EVALUATOR, lambda one: one.lexical))
    console.print(table(second, TOGETHER, lambda one: one.together(threshold)))


if __name__ == "__main__":
    typer.run(main)
