"""A question made to stand by itself by the model, and all that is no rewrite."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field

from bulkhead.errors import InvalidValue, Unavailable
from retriever.answer import rewriting
from retriever.answer.rewriting import Rewriter
from retriever.report import Report

HISTORY = [
    HumanMessage("What does the Heron cost?"),
    AIMessage("The Heron costs 41,000 euros; its battery holds 60 kWh."),
]
ASKED = "And how large is its battery?"


class Model(BaseChatModel):
    """Says what it is told to, in pieces, or fails, or never says anything."""

    said: str = ""
    error: Exception | None = None
    hangs: bool = False
    asked: list[tuple[list[BaseMessage], dict[str, Any]]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "told"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **more: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.asked.append((messages, more))
        if self.error:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        for at in range(0, len(self.said), 5):
            yield ChatGenerationChunk(message=AIMessageChunk(content=self.said[at : at + 5]))


async def rewrite(model: Model, history: list[Any] | None = None, asked: str = ASKED) -> str | None:
    rewriter = Rewriter(model, "told", "max_tokens", {"extra_body": {"cache_salt": "s"}})
    before = HISTORY if history is None else history
    return await rewriter.rewritten("Rewrite it.", before, asked, "english", Report())


def question(text: Any) -> str:
    return json.dumps({"question": text})


async def test_the_model_is_asked_for_json_after_the_conversation_and_its_question_is_taken() -> (
    None
):
    model = Model(said=question("How large is the battery\nof the Heron?"))
    assert await rewrite(model) == "How large is the battery of the Heron?"
    ((messages, parameters),) = model.asked
    assert messages[0].text == "Rewrite it."
    assert messages[-1].text == (
        "User: What does the Heron cost?\n"
        "Assistant: The Heron costs 41,000 euros; its battery holds 60 kWh.\n"
        "Last question: And how large is its battery?"
    )
    schema = parameters["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["question"] and schema["additionalProperties"] is False
    assert parameters["max_tokens"] < 200
    assert parameters["extra_body"] == {"cache_salt": "s"}


@pytest.mark.parametrize(
    "said",
    [
        question("How large is the Osprey's battery?"),  # a name that nobody said
        question("The battery of the Heron holds 75 kWh."),  # an answer
        question(ASKED),
        question(ASKED.upper()),
        question(""),
        question(None),
        question(["How large is it?"]),
        '{"question": "How large is the',  # cut
        '["How large is the battery?"]',
        "null",
        "How large is the battery of the Heron?",
        "",
    ],
)
async def test_what_is_no_rewrite_is_not_taken(said: str) -> None:
    assert await rewrite(Model(said=said)) is None


@pytest.mark.parametrize(
    "error", [Unavailable("llm", "down"), InvalidValue("no json_schema here"), ValueError("odd")]
)
async def test_a_model_that_fails_rewrites_nothing(error: Exception) -> None:
    assert await rewrite(Model(error=error)) is None


async def test_a_model_that_takes_too_long_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rewriting, "SECONDS", 0.01)
    assert await rewrite(Model(hangs=True)) is None


async def test_of_a_long_conversation_the_end_is_read_and_long_turns_are_cut() -> None:
    long = [HumanMessage(f"{'x' * 5000} END {n}?") for n in range(50)]
    answers = [AIMessage(f"BEGIN {n} {'y' * 5000}") for n in range(50)]
    history = [turn for pair in zip(long, answers, strict=True) for turn in pair]
    model = Model(said=question("END 49?"))
    assert await rewrite(model, history, f"{'z ' * 5000} And?") == "END 49?"
    read = model.asked[0][0][-1].text
    assert len(read) < 3000 and read.count("\n") == 6
    assert "END 49?" in read and "BEGIN 49" in read and "END 46" not in read
