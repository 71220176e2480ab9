"""Compare the prompt's layout, the order of its sources and their budget of tokens, with a model.

    python -m evaluation.sweep_prompts --data squad
    python -m evaluation.sweep_prompts --data mtrag

The search is that of a running stack; the prompts are made here and asked of its model server. A
collection with `answers` is judged by whether an answer holds one. One whose queries have `turns`
and a `reference` is asked within its conversations and judged by the words that answer and
reference have in common.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from bulkhead.settings import read_secret
from embedded.parts import ROOT
from evaluation import answers as answering
from evaluation.beir import Dataset, load, sample
from evaluation.client import RetrieverClient
from evaluation.conversations import messages
from evaluation.squad import contains_gold, word_f1
from evaluation.sweep_answers import (
    ADDRESS,
    KEY_FILE,
    LANGUAGE,
    THRESHOLD,
    TOKENS,
    Data,
    KeyFile,
    Questions,
    Row,
    Url,
    chosen,
    found,
    measured,
    more,
    share,
    show,
)
from retriever.answer.checked import CheckedStream
from retriever.answer.context import context_of, leans
from retriever.answer.prompt import in_document_order, render
from retriever.answer.retriever import to_document
from retriever.branding.branding import packaged
from retriever.index.model import Hit
from retriever.report import Report

Messages = list[BaseMessage]
Layout = Callable[[Messages, str], Messages]
Prompt = tuple[str, str, int]


def _short_system(messages: Messages, _: str) -> Messages:
    return [SystemMessage("Answer from the sources, briefly."), *messages[1:]]


def _shorter(messages: Messages, _: str) -> Messages:
    rules = messages[0].text.replace("in one to three short sentences", "in one short sentence")
    return [SystemMessage(rules), *messages[1:]]


def _one_sentence(messages: Messages, _: str) -> Messages:
    return [*messages[:-1], HumanMessage(f"{messages[-1].text}\nAnswer in one sentence.")]


def _question_first(messages: Messages, question: str) -> Messages:
    sources = messages[-1].text.removesuffix(f"\n\nQuestion: {question}")
    return [*messages[:-1], HumanMessage(f"Question: {question}\n\n{sources}")]


LAYOUTS: dict[str, Layout] = {
    "the product's": lambda messages, _: messages,
    "a short system message": _short_system,
    "'in one short sentence' in the rules": _shorter,
    "'Answer in one sentence' at the end": _one_sentence,
    "the question first": _question_first,
}
ORDERS: dict[str, Callable[[Sequence[Any]], list[Any]]] = {
    "document": in_document_order,
    "best first": list,
    "best last": lambda found: list(reversed(found)),
}
BUDGETS = (300, 450, 600, 1200)
MOST_TOKENS = 96
MOST_CHARACTERS = 1500
"""Of a conversation before its question: longer ones take two cores a minute each."""

PROMPTS: list[Prompt] = [
    *((name, "document", TOKENS) for name in LAYOUTS),
    *(("the product's", order, TOKENS) for order in ORDERS if order != "document"),
    *(("the product's", "document", tokens) for tokens in BUDGETS if tokens != TOKENS),
]
"""Layout, order and tokens of chunks; one of the three differs from the product's at a time."""


@dataclass(frozen=True)
class Asked:
    """A question, what is searched for it, what was said before, and what an answer is worth."""

    text: str
    search: answering.Question
    worth: Callable[[str], float]
    history: Messages = field(default_factory=list)


def asked_of(dataset: Dataset, count: int) -> tuple[str, list[Asked]]:
    """What the answers are judged by, and a seeded sample of the questions."""
    if not any(query.reference for query in dataset.queries.values()):
        return "holds gold", [
            Asked(one.text, one, partial(contains_gold, golds=one.gold_answers))
            for one in answering.answerable(dataset, count, 0)
        ]
    short = [
        key
        for key, query in dataset.queries.items()
        if dataset.relevant(key)
        and query.reference
        and sum(len(turn.content) for turn in query.turns[:-1]) <= MOST_CHARACTERS
    ]
    return "F1 with the reference", [
        _in_conversation(dataset, key) for key in sample(short, count, 0)
    ]


def _in_conversation(dataset: Dataset, key: str) -> Asked:
    query = dataset.queries[key]
    before = [turn.content for turn in query.turns[:-1] if turn.role == "user"]
    within = {"collection": dataset.name}
    about = context_of(before, "", query.text, LANGUAGE)[:1] if leans(query.text, LANGUAGE) else []
    search = "\n".join([*(one.text for one in about), query.text])
    return Asked(
        query.text,
        answering.Question("answerable", key, search, (), dataset.relevant(key), within),
        partial(word_f1, reference=query.reference),
        messages(query.turns[:-1]),
    )


class Answered(NamedTuple):
    """What an answer was worth, whether the check supports it, and its tokens, read and written."""

    worth: float
    supported: bool
    read: int
    written: int


async def prompts(
    client: RetrieverClient, model: ChatOpenAI, questions: Sequence[Asked]
) -> list[Row]:
    """For every prompt, what its answers are worth, by how much more than with the product's
    prompt, question by question, how many of those of worth are supported, and the tokens."""
    answers: dict[Prompt, list[Answered]] = {prompt: [] for prompt in PROMPTS}
    for question in questions:
        hits = await found(client, question.search)
        for prompt in PROMPTS:
            answers[prompt].append(await _answered(model, question, hits, prompt))
    first = [one.worth for one in answers[PROMPTS[0]]]
    return [
        (
            layout,
            order,
            f"{budget}",
            share([one.worth for one in got]),
            more(first, [one.worth for one in got]),
            share([one.supported for one in got if one.worth]),
            f"{sum(one.read for one in got) / len(got):.0f}",
            f"{sum(one.written for one in got) / len(got):.0f}",
        )
        for (layout, order, budget), got in answers.items()
    ]


async def _answered(
    model: ChatOpenAI, question: Asked, hits: Sequence[Hit], prompt: Prompt
) -> Answered:
    layout, order, budget = prompt
    words, shown = packaged().answers, chosen(hits, budget)
    sources = ORDERS[order]([to_document(hit) for hit in shown])
    rendered = render(question.text, sources, question.history, words)
    reply = await model.ainvoke(
        LAYOUTS[layout](rendered, question.text), stop=list(words.stop), max_tokens=MOST_TOKENS
    )
    checked = CheckedStream(question.text, shown, hits, LANGUAGE, THRESHOLD, Report())
    checked.feed(reply.text)
    checked.end(finished=reply.response_metadata["finish_reason"] == "stop")
    usage = reply.usage_metadata
    return Answered(
        float(question.worth(reply.text)),
        checked.grounding().supported,
        usage["input_tokens"] if usage else 0,
        usage["output_tokens"] if usage else 0,
    )


def main(
    data: Data,
    questions: Questions = 60,
    url: Url = ADDRESS,
    key_file: KeyFile = KEY_FILE,
    llm_url: Annotated[str, typer.Option(help="The model server.")] = "http://127.0.0.1:8000/v1",
    llm_key_file: Annotated[Path, typer.Option(help="Its key.")] = ROOT / ".data/llm-key",
) -> None:
    """What the answers are worth, by layout of the prompt, order and tokens of chunks."""
    dataset = load(data)
    judged_by, asked = asked_of(dataset, questions)
    key = SecretStr(read_secret(llm_key_file))
    model = ChatOpenAI(model="any", base_url=llm_url, api_key=key, temperature=0, timeout=600)
    rows = measured(url, key_file, dataset, lambda client: prompts(client, model, asked))
    columns = (judged_by, "more than the first", "supported", "read", "written")
    show(("prompt", "order", "budget", *columns), rows)


if __name__ == "__main__":
    typer.run(main)
