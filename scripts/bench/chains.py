"""Answers beside the usual RAG chains of LangChain and Haystack: the same model, questions, chunks.

Each question is asked of the stack. The chunks that it shows its model go through LangChain's chain
and Haystack's pipeline too, each with the prompt of its own tutorial, which ask the same model
server at temperature 0. The three take turns at being first.

    make serve
    .venv/bin/python -m bench.chains --python VENV/bin/python --data ../shared/data/squad

VENV is a virtual environment with `pip install haystack-ai langchain langchain-openai`.
"""

import asyncio
import json
import os
import re
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bulkhead.settings import read_secret
from embedded.parts import ROOT
from evaluation import answers as answering
from evaluation.beir import load
from evaluation.bootstrap import Estimate, estimate
from evaluation.client import RetrieverClient
from evaluation.errors import EvaluationError
from evaluation.runner import ingest
from evaluation.squad import contains_gold
from evaluation.sweep_answers import chosen, found

OURS, OTHERS = "bulkhead", ("LangChain", "Haystack")
MOST_TOKENS = 256
_DECLINES = re.compile(
    r"\b(?:don['\u2019]?t know|do(?:es)? not know|could not find|can(?:no|')t (?:answer|determine)"
    r"|(?:not|n['\u2019]t) (?:mention|provide|specif|state|contain)\w*)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Answer:
    """What one way said to one question."""

    right: bool
    declined: bool
    seconds: float


class Chains:
    """The process in which the others' chains live: a line of JSON in, a line out."""

    def __init__(self, python: Path, llm: str, key: str, model: str) -> None:
        # By its path, for `bench` imports what their environment has not; and not with its folder
        # on the path (-P), where a module is called as Haystack is.
        worker = Path(__file__).with_name("chains_worker.py")
        command = [str(python), "-P", str(worker), llm, model, str(MOST_TOKENS)]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "OPENAI_API_KEY": key},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, chain: str, question: str, chunks: list[str]) -> tuple[str, float]:
        """The answer of a chain, and the seconds that it took; raises `EvaluationError`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = {"chain": chain, "question": question, "chunks": chunks}
        self._process.stdin.write(f"{json.dumps(asked)}\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise EvaluationError("the chains' process ended")
        told: dict[str, Any] = json.loads(line)
        return told["answer"], told["seconds"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


async def ours(client: RetrieverClient, question: answering.Question) -> tuple[str, float]:
    """The stack's answer, and the seconds that it took, search and checks included."""
    body = {
        "messages": [{"role": "user", "content": question.text}],
        "temperature": 0,
        "max_tokens": MOST_TOKENS,
        "rag": {"filters": question.filters},
    }
    started = time.perf_counter()
    reply = await client.chat(body)
    return reply.choices[0].message.content, time.perf_counter() - started


async def compared(
    client: RetrieverClient, chains: Chains, questions: list[answering.Question]
) -> dict[str, list[Answer]]:
    """Every question asked of all three; who is first goes round."""
    answers: dict[str, list[Answer]] = defaultdict(list)
    ways = (OURS, *OTHERS)
    for number, question in enumerate(track(questions, "asking")):
        chunks = [hit.text for hit in chosen(await found(client, question))]
        turn = number % len(ways)
        for way in ways[turn:] + ways[:turn]:
            if way == OURS:
                words, seconds = await ours(client, question)
            else:
                words, seconds = await asyncio.to_thread(chains.ask, way, question.text, chunks)
            right = contains_gold(words, question.gold_answers)
            declined = not right and bool(_DECLINES.search(words))
            answers[way].append(Answer(right, declined, seconds))
    return answers


def table(answers: dict[str, list[Answer]]) -> Table:
    """Right, declined and wrong answers and their seconds, and right ones beside ours by pairs."""
    out = Table("way", "holds gold", "declined", "wrong", "seconds, median", "more gold than ours")
    first = answers[OURS]
    for way, said in answers.items():
        more = estimate(
            [float(one.right) - float(our.right) for one, our in zip(said, first, strict=True)]
        )
        out.add_row(
            way,
            _shown(estimate([float(one.right) for one in said])),
            f"{sum(one.declined for one in said)} of {len(said)}",
            _shown(estimate([float(not one.right and not one.declined) for one in said])),
            f"{median(one.seconds for one in said):.1f}",
            "" if way == OURS else _shown(more),
        )
    return out


def _shown(one: Estimate) -> str:
    return "-" if one.value is None else f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def main(
    python: Annotated[Path, typer.Option(help="Python of the environment with their packages.")],
    data: Annotated[Path, typer.Option(help="Folder in the BEIR layout, with answers.")],
    questions: Annotated[int, typer.Option(min=1, help="Questions to ask.")] = 60,
    url: Annotated[str, typer.Option(help="The retriever.")] = "http://127.0.0.1:8080",
    llm: Annotated[str, typer.Option(help="Its model server.")] = "http://127.0.0.1:8000/v1",
    key_file: Annotated[Path, typer.Option(help="File with an API key.")] = ROOT / ".data/api-key",
    llm_key_file: Annotated[Path, typer.Option(help="The model's key.")] = ROOT / ".data/llm-key",
) -> None:
    """A table of the three."""
    dataset = load(data)
    asked = answering.answerable(dataset, questions, 0)

    async def run(key: str) -> dict[str, list[Answer]]:
        async with RetrieverClient(url, key, timeout=1800) as client:
            await ingest(client, dataset, lambda _: None)
            model = (await client.models())[0]
            chains = Chains(python, llm, read_secret(llm_key_file), model)
            try:
                return await compared(client, chains, asked)
            finally:
                chains.close()

    try:
        answers = asyncio.run(run(key_file.read_text(encoding="utf-8").strip()))
    except (EvaluationError, OSError) as error:
        Console(stderr=True).print(str(error), style="bold red", markup=False)
        raise typer.Exit(1) from error
    Console(width=120).print(table({way: answers[way] for way in (OURS, *OTHERS)}))


if __name__ == "__main__":
    typer.run(main)
