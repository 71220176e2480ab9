"""The comparison of prompts, against a scripted retriever and a scripted model over HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from scripted_llm import ScriptedLLM, Turn
from serving import serving
from typer.testing import CliRunner

from evaluation.beir import load
from evaluation.sweep_answers import TOKENS
from evaluation.sweep_prompts import LAYOUTS, PROMPTS, asked_of, main


def compared(*arguments: str | Path) -> list[list[str]]:
    """The cells of each row."""
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    return [row for row in cells if row[0]]


@pytest.fixture
def conversations(collection: Path) -> Path:
    """The collection, its first question in a conversation and with a reference."""
    queries = collection / "queries.jsonl"
    rows = [json.loads(line) for line in queries.read_text().splitlines()]
    for row in rows:
        del row["answers"]
    rows[0]["reference"] = "Neil Armstrong visited the Moon."
    rows[0]["turns"] = [
        {"role": "user", "content": "What orbits Earth?"},
        {"role": "assistant", "content": "The Moon."},
        {"role": "user", "content": rows[0]["text"]},
    ]
    queries.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return collection


def test_the_layouts_differ_in_one_thing_each() -> None:
    said = "<source>\na\n</source>\n\nQuestion: Why?"
    before: list[BaseMessage] = [HumanMessage("Who?"), AIMessage("She.")]
    for history in ([], before):
        messages = [SystemMessage("Rules."), *history, HumanMessage(said)]
        made = {
            name: [m.text for m in layout(messages, "Why?")] for name, layout in LAYOUTS.items()
        }
        assert made["the product's"] == [m.text for m in messages]
        assert made["a short system message"][1:] == [m.text for m in messages[1:]]
        assert made["the question first"][-1] == "Question: Why?\n\n<source>\na\n</source>"
        assert made["'Answer in one sentence' at the end"][-1].startswith(f"{said}\n")
        assert all(len(one) == len(messages) for one in made.values())


def test_a_prompt_is_judged_by_the_gold_in_its_answers(
    collection: Path, retriever: Any, key_file: Path
) -> None:
    def of_few_rules(body: dict[str, Any]) -> Turn:
        return Turn("Neil Armstrong" if "briefly" in body["messages"][0]["content"] else "Nobody")

    llm = ScriptedLLM()
    llm.script = of_few_rules
    with serving(llm.app) as model:
        known = ("--url", retriever.url, "--key-file", key_file, "--llm-key-file", key_file)
        rows = compared("--data", collection, "--llm-url", f"{model}/v1", *known)
    worth = {tuple(row[:3]): row[3] for row in rows if not row[0].startswith("prompt")}
    assert len(worth) == len(PROMPTS)
    right = [prompt for prompt, share in worth.items() if not share.startswith("0.000")]
    assert right == [("a short system message", "document", str(TOKENS))]


def test_a_conversation_is_asked_within_it_and_judged_by_its_reference(conversations: Path) -> None:
    judged_by, asked = asked_of(load(conversations), 5)
    assert judged_by == "F1 with the reference"
    assert [one.text for one in asked] == ["Who visited the Moon in 1969?"]
    assert [turn.text for turn in asked[0].history] == ["What orbits Earth?", "The Moon."]
    assert asked[0].worth("It was Neil Armstrong. [1]") == pytest.approx(4 / 8)
    assert asked[0].search.gold_documents == {"moon"}
