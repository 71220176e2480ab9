"""Compare what to search for in a conversation: the last turn, it after the one before, or ours.

Ours is the question, and with it, at a lower weight, the turn that it is about and the last answer.

Scores in memory, as Qdrant would, through a running embedding service. Three kinds of conversation:
follow-ups over products and their prices, with changes of subject; a judged question after another
one that it has nothing to do with; and those of a collection that has `turns`.

    python -m evaluation.sweep_turns --judged ../shared/data/squad --turns ../shared/data/mtrag

With `--llm` its model rewrites the questions that lean, as `RETRIEVER_REWRITE` has it.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import aiohttp
import httpx2
import numpy as np
import typer
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from rich.console import Console
from rich.progress import track
from rich.table import Table

from embedded.parts import ROOT
from evaluation.beir import Dataset, load
from evaluation.conversations import messages, several_turns
from evaluation.sweep_retrieval import Scores, bm25, dbsf, embed, service
from retriever.answer.context import RANK_CONSTANT, context_of, leans
from retriever.answer.rewriting import Rewriter
from retriever.answer.sentences import sentences
from retriever.branding.branding import packaged
from retriever.clients.llm import LLMClient
from retriever.report import Report
from retriever.search import Context

CARS = ("Albatross", "Bittern", "Cormorant", "Dunlin", "Eider", "Fulmar", "Gannet", "Harrier")
WORKS = (
    "tyre change",
    "yearly service",
    "windscreen replacement",
    "battery replacement",
    "paint repair",
    "brake inspection",
    "software update",
)
WORK_FORMS = (
    "And a {}?",
    "What about a {}?",
    "And the {}?",
    "How much is a {}, then?",
    "How much for a {}?",
    "Is a {} more expensive?",
    "And what does a {} cost?",
)
NAME_FORMS = ("And for the {}?", "What about the {}?", "How much for the {}?")
FEES = ("ferry ticket", "parking permit", "library card", "swimming pass")
WHO = ("children", "students", "pensioners", "groups", "dogs", "bicycles")
WHO_FORMS = ("And for {}?", "What about {}?", "How much for {}?")
ELSE = (
    "Bookings are taken by telephone and on the web page.",
    "The workshop opens at eight.",
    "The price holds until the end of the year.",
    "Members of the club pay a tenth less.",
)
SHOWN = 2
KINDS = 10
"""Of follow-ups, of which each conversation drawn has one."""


class Asked(NamedTuple):
    """What was said, the question last, and the texts that answer it."""

    kind: str
    said: Sequence[BaseMessage]
    gold: set[str]

    @property
    def turns(self) -> list[str]:
        """The user's."""
        return [turn.text for turn in self.said if isinstance(turn, HumanMessage)]

    @property
    def answer(self) -> str:
        """The last one, if there is any."""
        return next((one.text for one in reversed(self.said) if isinstance(one, AIMessage)), "")

    def context(self) -> list[Context]:
        """What the retriever would search with."""
        return context_of(self.turns[:-1], self.answer, self.turns[-1], LANGUAGE)


LANGUAGE = "english"
Texts = dict[str, str]
Weighted = list[Context]
"""What is searched for at once, by its weights."""
Method = Callable[[Asked], Weighted]
Rewrites = Mapping[str, str]
"""How a model rewrote a question, by all turns of its conversation."""


def _whole(text: str) -> Context:
    return Context(text, 1.0, 1.0)


METHODS: dict[str, Method] = {
    "the last turn": lambda one: [_whole(one.turns[-1])],
    "with the one before": lambda one: [_whole("\n".join(one.turns[-2:]))],
    "ours": lambda one: [_whole(one.turns[-1]), *one.context()],
}
REWRITTEN = "with a rewrite"


def prices(number: int) -> tuple[Texts, list[Asked]]:
    """Cars and works, and fees that name nothing; follow-ups after a question in full, once another
    subject was asked of, and by name alone; without answers before, and with them."""
    draw = random.Random(7)  # noqa: S311 - a draw to measure with
    texts = {_priced(car, work): _price(car, work, draw) for car in CARS for work in WORKS}
    texts |= {_charged(fee, who): _charge(fee, who, draw) for fee in FEES for who in WHO}
    asked: list[Asked] = []
    for _ in range(number):
        car, other, third = draw.sample(CARS, 3)
        a, b, c, d, e = draw.sample(WORKS, 5)
        more = partial(_follow_up, draw, WORK_FORMS)
        same = [(f"How much is a {a} for the {car}?", _priced(car, a))]
        same += [(more(work), _priced(car, work)) for work in (b, c, d)]
        changed = [*same[:2], (f"What does a {e} for the {other} cost?", _priced(other, e))]
        changed.append((more(a), _priced(other, a)))
        named = [*changed, (_follow_up(draw, NAME_FORMS, third), _priced(third, a))]
        fee, (one, two, three) = draw.choice(FEES), draw.sample(WHO, 3)
        unnamed = [same[0], (f"What does a {fee} for {one} cost?", _charged(fee, one))]
        unnamed += [(_follow_up(draw, WHO_FORMS, who), _charged(fee, who)) for who in (two, three)]
        for kind, exchanges in (
            ("follow-up, turn 3", same[:3]),
            ("follow-up, turn 4", same),
            ("after a change of subject", changed),
            ("of another by name", named),
            ("after a change to what has no name", unnamed),
        ):
            asked += _both(kind, exchanges, texts)
    return texts, asked


def _both(kind: str, exchanges: Sequence[tuple[str, str]], texts: Texts) -> list[Asked]:
    """The last question after the others alone, and after them with their answers."""
    *before, (question, gold) = exchanges
    asked = HumanMessage(question)
    turns = [HumanMessage(turn) for turn, _ in before]
    answered = [
        message
        for turn, key in before
        for message in (HumanMessage(turn), AIMessage(texts[key].splitlines()[1].split(". ")[0]))
    ]
    return [
        Asked(kind, [*turns, asked], {gold}),
        Asked(f"{kind}, answered", [*answered, asked], {gold}),
    ]


def _follow_up(draw: random.Random, forms: Sequence[str], about: str) -> str:
    return draw.choice(forms).format(about)


def _priced(car: str, work: str) -> str:
    return f"{car}: {work}"


def _charged(fee: str, who: str) -> str:
    return f"{fee}: {who}"


def _price(car: str, work: str, draw: random.Random) -> str:
    return (
        f"Price list of the {car}\nA {work} for the {car} costs {draw.randint(5, 90)}0 euros. "
        f"{draw.choice(ELSE)} {draw.choice(ELSE)}"
    )


def _charge(fee: str, who: str, draw: random.Random) -> str:
    return f"Fees\nA {fee} for {who} costs {draw.randint(5, 90)} euros. {draw.choice(ELSE)}"


def judged(folder: Path, questions: int) -> tuple[Texts, list[Asked]]:
    """Judged questions, each after one of the others and the sentence that answers that."""
    data = load(folder)
    drawn = random.Random(7).sample(sorted(data.queries), questions)  # noqa: S311 - likewise
    asked = [
        Asked(
            "after another question",
            [
                HumanMessage(data.queries[other].text),
                AIMessage(answering_sentence(data, other)),
                HumanMessage(data.queries[key].text),
            ],
            set(data.qrels[key]),
        )
        for other, key in zip(drawn[1:] + drawn[:1], drawn, strict=True)
        if data.qrels.get(key)
    ]
    return {key: f"{one.title}\n{one.text}" for key, one in data.corpus.items()}, asked


def answering_sentence(data: Dataset, key: str) -> str:
    """The sentence of the judged text that holds the answer; the whole text where none does."""
    text = data.corpus[next(iter(data.qrels[key]))].text
    golds = data.queries[key].answers
    spans = (text[start:end] for start, end in sentences(text))
    return next((span for span in spans if any(gold in span for gold in golds)), text)


def conversations(folder: Path) -> tuple[Texts, list[Asked]]:
    """The conversations of a collection, of more than one turn, with judged passages."""
    data = load(folder)
    asked = [
        Asked(f"{folder.name}, R@5", messages(data.queries[key].turns), set(data.qrels[key]))
        for key in several_turns(data)
    ]
    return {key: f"{one.title}\n{one.text}" for key, one in data.corpus.items()}, asked


async def rewritten(asked: Sequence[Asked], llm: str, key: str) -> dict[str, str]:
    """What the model at `llm` makes of the questions that lean."""
    rules, made = packaged().answers.prompt.rewrite, {}
    leaning = [one for one in asked if leans(one.turns[-1], LANGUAGE)]
    async with aiohttp.ClientSession() as http:
        client = LLMClient(http, llm, key, 120)
        served = await client.served()
        rewriter = Rewriter(client.chat_model(served.id), served.id, served.bound)
        for one in track(leaning, "rewriting", console=Console(stderr=True)):
            told = (rules, one.said[:-1], one.turns[-1], LANGUAGE, Report())
            if text := await rewriter.rewritten(*told):
                made[_conversation(one)] = text
    return made


def _conversation(one: Asked) -> str:
    return "\n".join(turn.text for turn in one.said)


def found(http: httpx2.Client, texts: Texts, asked: Sequence[Weighted]) -> list[list[int]]:
    """For each search, the numbers of the twenty best texts."""
    queries = sorted({one.text for weighted in asked for one in weighted})
    row = {query: n for n, query in enumerate(queries)}
    vectors = embed(http, queries, "query")
    words = bm25(list(texts.values()), queries, 0.9, 0.4)
    documents = embed(http, list(texts.values()), "document").T
    lists = []
    for weighted in asked:
        rows = [row[one.text] for one in weighted]
        dense = np.dot([one.meaning for one in weighted], vectors[rows])
        sparse = np.dot([one.words for one in weighted], words[rows])
        fused = dbsf(dense / np.linalg.norm(dense) @ documents, sparse)
        lists.append(np.argsort(-fused, kind="stable")[:20].tolist())
    return lists


def shares(
    http: httpx2.Client, texts: Texts, asked: Sequence[Asked], rewrites: Rewrites
) -> Iterator[tuple[str, ...]]:
    """A row a kind: how many were asked, and what each method found."""
    names = list(texts)
    lists = {
        name: found(http, texts, [method(one) for one in asked]) for name, method in METHODS.items()
    }
    if rewrites:
        made = [rewrites.get(_conversation(one)) for one in asked]
        there = iter(found(http, texts, [[_whole(text)] for text in made if text]))
        lists[REWRITTEN] = [
            _fused(ours, next(there)) if text else ours
            for ours, text in zip(lists["ours"], made, strict=True)
        ]
    for kind in dict.fromkeys(one.kind for one in asked):
        of_kind = [n for n, one in enumerate(asked) if one.kind == kind]
        got = {
            name: np.array([_share(asked[n], ranked[n], names) for n in of_kind])
            for name, ranked in lists.items()
        }
        first, second, *_ = got.values()
        cells = (_beside(values, first, second) for values in got.values())
        yield kind, str(len(of_kind)), *cells


def _fused(*lists: list[int]) -> list[int]:
    scores: dict[int, float] = {}
    for ranked in lists:
        for rank, n in enumerate(ranked):
            scores[n] = scores.get(n, 0.0) + 1 / (RANK_CONSTANT + rank)
    return sorted(scores, key=lambda n: -scores[n])


def _share(one: Asked, ranked: Sequence[int], names: Sequence[str]) -> float:
    """The share of its gold among what is shown."""
    top = {names[n] for n in ranked[: 5 if "R@5" in one.kind else SHOWN]}
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
    questions: Annotated[
        int, typer.Option(min=KINDS, help="Of each of the first two kinds.")
    ] = 400,
    url: Annotated[str, typer.Option(help="The embedding service.")] = "http://127.0.0.1:8081",
    llm: Annotated[str, typer.Option(help="A model server, ending in /v1: rewrites, too.")] = "",
    llm_key_file: Annotated[Path, typer.Option(help="Its key.")] = ROOT / ".data/llm-key",
) -> None:
    """Print the share of questions whose text is among two shown, or R@5, with 95% intervals, and
    how much more that is than the first and than the second way."""
    methods = [*METHODS, *([REWRITTEN] if llm else [])]
    table = Table("conversation", "asked", *methods, show_lines=True)
    with service(url) as http:
        for texts, asked in (
            prices(questions // KINDS),
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
