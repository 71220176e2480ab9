"""Compare what to search for in a conversation: the last turn, it after the one before, or ours.

Scores in memory, as Qdrant would, through a running embedding service. Three kinds of conversation:
follow-ups over products and their prices, with changes of subject; a judged question after another
one that it has nothing to do with; and those of a collection that has `turns`.

    python -m evaluation.sweep_turns --judged ../shared/data/squad --turns ../shared/data/mtrag

With `--llm` its model rewrites the questions that lean, as `RETRIEVER_REWRITE` has it. The last
column is what nobody can know: for each question the better of the first two.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Annotated, NamedTuple

import aiohttp
import httpx2
import numpy as np
import typer
from langchain_core.messages import BaseMessage, HumanMessage
from rich.console import Console
from rich.progress import track
from rich.table import Table

from embedded.parts import ROOT
from evaluation.beir import load
from evaluation.conversations import messages, several_turns
from evaluation.sweep_retrieval import Scores, bm25, dbsf, embed, service
from retriever.answer.rewriting import Rewriter
from retriever.answer.standalone import RANK_CONSTANT, REWRITTEN, Search, searches
from retriever.branding.branding import packaged
from retriever.clients.llm import LLMClient
from retriever.report import Report

CARS = ("Falcon", "Heron", "Osprey", "Petrel")
WORKS = ("tyre change", "yearly service", "windscreen replacement", "battery replacement")
SHOWN = 2


class Asked(NamedTuple):
    """The user's turns, the last of them the question, and the texts that answer it."""

    kind: str
    turns: list[str]
    gold: set[str]
    said: Sequence[BaseMessage] = ()
    """All turns before the question, answers too, where there are answers."""

    @property
    def history(self) -> Sequence[BaseMessage]:
        """What a model reads before the question."""
        return self.said or [HumanMessage(turn) for turn in self.turns[:-1]]


LANGUAGE = "english"
Texts = dict[str, str]
Rewrites = Mapping[tuple[str, ...], str]
"""How a model rewrote the question at the end of these turns."""
Method = Callable[[list[str], Rewrites], list[Search]]


def ours(turns: list[str], _: Rewrites) -> list[Search]:
    """As the retriever searches without a model."""
    return searches(turns[:-1], turns[-1], LANGUAGE)


def with_rewrite(turns: list[str], rewrites: Rewrites) -> list[Search]:
    """As it searches with one."""
    text = rewrites.get(tuple(turns))
    return [*ours(turns, rewrites), *([Search(text, REWRITTEN)] if text else [])]


METHODS: dict[str, Method] = {
    "the last turn": lambda turns, _: [Search(turns[-1], 1.0)],
    "with the one before": lambda turns, _: [Search("\n".join(turns[-2:]), 1.0)],
    "ours": ours,
    "with a rewrite": with_rewrite,
}


def prices(number: int) -> tuple[Texts, list[Asked]]:
    """Four cars, four works; follow-ups, then another car in full, then one by name alone."""
    texts = {
        f"{car}-{work}": f"{car}\n{car} price list. A {work} for the {car} costs {n}0 euros."
        for n, (car, work) in enumerate((c, w) for c in CARS for w in WORKS)
    }
    asked = []
    for car, other, third in permutations(CARS, 3):
        for a, b, c, d in permutations(WORKS):
            turns = [f"How much is a {a} for the {car}?", f"What about a {b}?", f"And a {c}?"]
            asked.append(Asked("follow-up, turn 3", turns, {f"{car}-{c}"}))
            turns = [*turns, f"And a {d}?"]
            asked.append(Asked("follow-up, turn 4", turns, {f"{car}-{d}"}))
            turns = [*turns[:2], f"How much is a {c} for the {other}?", f"And a {d}?"]
            asked.append(Asked("after a change of subject", turns, {f"{other}-{d}"}))
            turns = [*turns, f"And for the {third}?"]
            asked.append(Asked("of another by name", turns, {f"{third}-{d}"}))
    return texts, random.Random(7).sample(asked, number)  # noqa: S311 - a draw to measure with


def judged(folder: Path, questions: int) -> tuple[Texts, list[Asked]]:
    """Judged questions, each after one of the others."""
    data = load(folder)
    drawn = random.Random(7).sample(sorted(data.queries), questions)  # noqa: S311 - likewise
    asked = [
        Asked(
            "after another question",
            [data.queries[other].text, data.queries[key].text],
            set(data.qrels[key]),
        )
        for other, key in zip(drawn[1:] + drawn[:1], drawn, strict=True)
        if data.qrels.get(key)
    ]
    return {key: f"{one.title}\n{one.text}" for key, one in data.corpus.items()}, asked


def conversations(folder: Path) -> tuple[Texts, list[Asked]]:
    """The conversations of a collection, of more than one turn, with judged passages."""
    data = load(folder)
    asked = [
        Asked(
            f"{folder.name}, R@5",
            [turn.content for turn in data.queries[key].turns if turn.role == "user"],
            set(data.qrels[key]),
            messages(data.queries[key].turns[:-1]),
        )
        for key in several_turns(data)
    ]
    return {key: f"{one.title}\n{one.text}" for key, one in data.corpus.items()}, asked


async def rewritten(asked: Sequence[Asked], llm: str, key: str) -> dict[tuple[str, ...], str]:
    """What the model at `llm` makes of the questions that lean."""
    rules, made = packaged().answers.prompt.rewrite, {}
    leaning = [one for one in asked if len(ours(one.turns, {})) > 1]
    async with aiohttp.ClientSession() as http:
        client = LLMClient(http, llm, key, 120)
        served = await client.served()
        rewriter = Rewriter(client.chat_model(served.id), served.id, served.bound)
        for one in track(leaning, "rewriting", console=Console(stderr=True)):
            told = (rules, one.history, one.turns[-1], LANGUAGE, Report())
            if text := await rewriter.rewritten(*told):
                made[tuple(one.turns)] = text
    return made


def found(http: httpx2.Client, texts: Texts, queries: Sequence[str]) -> dict[str, list[int]]:
    """For each query, the numbers of the twenty best texts."""
    dense = embed(http, queries, "query") @ embed(http, list(texts.values()), "document").T
    sparse = bm25(list(texts.values()), queries, 0.9, 0.4)
    return {
        query: np.argsort(-dbsf(dense[row], sparse[row]), kind="stable")[:20].tolist()
        for row, query in enumerate(queries)
    }


def shares(
    http: httpx2.Client, texts: Texts, asked: Sequence[Asked], rewrites: Rewrites
) -> Iterator[tuple[str, ...]]:
    """A row a kind: how many were asked, what each method found, and the better of two."""
    queries = sorted(
        {
            search.text
            for one in asked
            for method in METHODS.values()
            for search in method(one.turns, rewrites)
        }
    )
    lists, names = found(http, texts, queries), list(texts)
    for kind in dict.fromkeys(one.kind for one in asked):
        of_kind = [one for one in asked if one.kind == kind]
        got = {
            name: np.array(
                [_found_of(one, method(one.turns, rewrites), lists, names) for one in of_kind]
            )
            for name, method in METHODS.items()
        }
        first, second, *_ = got.values()
        cells = [
            _beside(values, first, second) for values in (*got.values(), np.maximum(first, second))
        ]
        yield kind, str(len(of_kind)), *cells


def _found_of(
    one: Asked, methods: Sequence[Search], lists: Mapping[str, list[int]], names: Sequence[str]
) -> float:
    """The share of its gold among what is shown of these searches, fused."""
    scores: dict[int, float] = {}
    for text, weight in methods:
        for rank, n in enumerate(lists[text]):
            scores[n] = scores.get(n, 0.0) + weight / (RANK_CONSTANT + rank)
    best = sorted(scores, key=lambda n: -scores[n])
    top = {names[n] for n in best[: 5 if "R@5" in one.kind else SHOWN]}
    return len(top & one.gold) / len(one.gold)


def _beside(got: Scores, *others: Scores) -> str:
    """The mean, and what it is more than each of the others, by pairs."""
    lines = [f"{got.mean():.3f} ± {_half(got):.3f}"]
    lines += [f"{(got - other).mean():+.3f} ± {_half(got - other):.3f}" for other in others]
    return "\n".join(lines)


def _half(values: Scores) -> float:
    return float(1.96 * values.std() / np.sqrt(len(values)))


def main(
    judged_data: Annotated[Path, typer.Option("--judged", help="A BEIR folder.")],
    turns: Annotated[Path, typer.Option(help="One whose queries have `turns`.")],
    questions: Annotated[int, typer.Option(min=2, help="To draw of the first two kinds.")] = 400,
    url: Annotated[str, typer.Option(help="The embedding service.")] = "http://127.0.0.1:8081",
    llm: Annotated[str, typer.Option(help="A model server, ending in /v1: rewrites, too.")] = "",
    llm_key_file: Annotated[Path, typer.Option(help="Its key.")] = ROOT / ".data/llm-key",
) -> None:
    """Print the share of questions whose text is among two shown, or R@5, with 95% intervals, and
    how much more that is than the first and than the second way."""
    table = Table("conversation", "asked", *METHODS, "the better of two", show_lines=True)
    with service(url) as http:
        for texts, asked in (
            prices(questions),
            judged(judged_data, questions),
            conversations(turns),
        ):
            rewrites: Rewrites = {}
            if llm:
                rewrites = asyncio.run(rewritten(asked, llm, llm_key_file.read_text().strip()))
            for row in shares(http, texts, asked, rewrites):
                table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
