"""The loop: the model calls tools, the gate runs the calls, until the model asks to answer.

It gives the model's chunks on as they come and a `Step` after each call. While there are tools the
model has to call one, `answer` among them once there is something to answer from: left the choice,
small models write about calls instead of making them (docs/quality.md). After `answer`, or when a
budget is spent, comes the last turn: without tools, and with what they returned as sources beside
the others, so that an answer is made as it is without tools. A server that does not know
`tool_choice` lets its model answer at once, and that is the answer.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from langchain_core.documents import Document
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.runnables import Runnable

from retriever.agent.functions import Function
from retriever.agent.gate import Gate
from retriever.agent.steps import Outcome, Step
from retriever.agent.untrusted import clean, fenced, new_mark
from retriever.agent.written import Written
from retriever.branding.answers import Answers

_TOO_LONG = "the result does not fit the model's context: ask for less"
_ANSWER = "answer"
"""What the model calls when it needs no tool more. Tools of the policy have their server's name
before theirs, so that none is called like it."""
_MOST_OF_ARGUMENTS = 200
"""Characters of a call's arguments above its result: the model may have written many."""
_NO_PARAMETERS = {"type": "object", "properties": {}}

Model = Runnable[LanguageModelInput, AIMessage]
Generate = Callable[[Model, list[BaseMessage]], AsyncGenerator[AIMessageChunk, None]]
CountTokens = Callable[[str], Awaitable[int]]
WithResults = Callable[[Sequence[Document]], Awaitable[list[BaseMessage]]]
"""The prompt as it is without tools, with these sources before its own."""


@dataclass(frozen=True, slots=True)
class Agent:
    """What the loop needs for one question, beside the messages."""

    gate: Gate
    count_tokens: CountTokens
    prompt_tokens: int
    """The most that a prompt may have."""
    words: Answers
    with_results: WithResults

    async def run(
        self,
        messages: list[BaseMessage],
        grounded: bool,
        plain: Model,
        bind: Callable[[list[Function], list[Function]], Model],
        generate: Generate,
    ) -> AsyncGenerator[AIMessageChunk | Step, None]:
        """The chunks of every turn, and the steps between them.

        `messages` is the prompt as it is without tools, `grounded` whether sources are in it.
        `bind` gives the model with tools, and those of them that it may call now.
        """
        mark = new_mark()
        prompt = self.words.prompt
        # While there are tools, what to do without an answer is to call one.
        rules = messages[0].text.replace(self.words.unknown, prompt.unknown_with_tools, 1)
        # The mark with the question and not in the rules: these and the tools' descriptions, the
        # longest part of the prompt, are then the same for every question, and are read once.
        turns = [
            SystemMessage(f"{rules}\n\n{prompt.tools}"),  # one, for templates that take no second
            *messages[1:-1],
            HumanMessage(f"{prompt.tools_mark.format(mark=mark)}\n\n{messages[-1].text}"),
        ]
        results: list[Document] = []
        made: set[tuple[str, str]] = set()
        repeated: set[str] = set()
        spent, ready, something = 0, False, grounded
        for turn in range(self.gate.budget.steps + 1):
            offered = self.gate.functions()
            out_of_budget = turn == self.gate.budget.steps or spent >= self.gate.budget.tokens
            last = ready or out_of_budget or not offered
            if last:
                model, turns = plain, await self.with_results(results)
            else:
                # What was called again as before gives nothing new: something else is to be called.
                left = [one for one in offered if one["function"]["name"] not in repeated]
                ending = [self._answer()] if something or not left else []
                model = bind([*offered, *ending], [*left, *ending])
            said = _Turn(frozenset([_ANSWER, *(one["function"]["name"] for one in offered)]))
            async with aclosing(generate(model, turns)) as chunks:
                async for chunk in chunks:
                    yield said.add(chunk)
                    if said.longest > self.gate.argument_bytes:
                        break
            if rest := said.end():
                yield AIMessageChunk(content=rest)
            calls = [call for call in said.calls.values() if call[0] != _ANSWER]
            ready = bool(said.calls) and not calls
            if last or not said.calls:
                return
            spent += said.tokens
            answers: list[ToolMessage] = []
            asked: list[ToolCall] = []
            for name, raw in calls:
                step = await self.gate.call(name, raw)
                text = await asyncio.to_thread(fenced, _told(step), mark, "result")
                message = ToolMessage(text, tool_call_id=step.id)
                if not await self._fits([*turns, *answers, message]):
                    step = step.dropped(_TOO_LONG)
                    message = ToolMessage(_TOO_LONG, tool_call_id=step.id)
                answers.append(message)
                call = name, json.dumps(step.arguments, sort_keys=True)
                if call in made:
                    repeated.add(name)
                else:
                    made.add(call)
                    results.append(_as_source(step))
                asked.append(ToolCall(name=_known(name), args=step.arguments or {}, id=step.id))
                something = something or step.outcome is Outcome.DONE
                yield step
                if self.gate.exhausted:  # what else the model asked for is not worth a word
                    break
            spoken = await asyncio.to_thread(clean, said.text)
            turns += [AIMessage(content=spoken, tool_calls=asked), *answers]

    def _answer(self) -> Function:
        """The function that ends the calls."""
        told = {"name": _ANSWER, "description": self.words.prompt.answer_with_tools}
        return {"type": "function", "function": {**told, "parameters": _NO_PARAMETERS}}

    async def _fits(self, turns: list[BaseMessage]) -> bool:
        """Whether the turns fit the prompt; asked of the model server where bytes do not say."""
        text = "\n".join(str(turn.content) for turn in turns)
        if len(text.encode()) <= self.prompt_tokens:
            return True
        return await self.count_tokens(text) + 16 * len(turns) <= self.prompt_tokens


class _Turn:
    """What the model said in one turn, with its calls as a name and the raw arguments.

    Adding up LangChain's chunks would mend broken JSON, and read it anew with every piece: what a
    tool is called with must not be guessed, and long arguments would hold up everyone.
    A call that is written as text counts as one, and its words are not the answer's.
    """

    def __init__(self, tools: frozenset[str]) -> None:
        self._written = Written(tools)
        self.text = ""
        self.tokens = 0
        self.longest = 0
        self.calls: dict[int, tuple[str, str]] = {}

    def add(self, chunk: AIMessageChunk) -> AIMessageChunk:
        """Take in the next piece; what of it can be shown now."""
        shown = self._written.feed(chunk.text)
        self.text += shown
        self.tokens += chunk.usage_metadata["total_tokens"] if chunk.usage_metadata else 0
        for piece in chunk.tool_call_chunks:
            index = piece["index"] if piece["index"] is not None else len(self.calls)
            name, arguments = self.calls.get(index, ("", ""))
            name, arguments = name + (piece["name"] or ""), arguments + (piece["args"] or "")
            self.calls[index] = name, arguments
            self.longest = max(self.longest, len(name), len(arguments))
        self.longest = max(self.longest, self._written.held)
        return chunk if shown == chunk.text else chunk.model_copy(update={"content": shown})

    def end(self) -> str:
        """The rest that is an answer, once all pieces are in."""
        rest, written = self._written.end()
        self.text += rest
        for name, arguments in written:
            self.calls[max(self.calls, default=-1) + 1] = name, arguments
        return rest


def _as_source(step: Step) -> Document:
    """What a call gave, as a source of the last turn."""
    told = json.dumps(step.arguments or {}, ensure_ascii=False)[:_MOST_OF_ARGUMENTS]
    about = {"title": f"{step.server} {step.tool} {told}", "document_id": step.id, "start": 0}
    return Document(page_content=_told(step), metadata=about)


def _told(step: Step) -> str:
    """What the model reads of a call."""
    if step.outcome is Outcome.DONE:
        return step.text or "The tool returned nothing."
    return f"The call was not made: {step.detail}" if step.refused else f"Error: {step.detail}"


def _known(name: str) -> str:
    """A name that the model server takes back, whatever the model made up."""
    kept = "".join(char for char in name if char.isascii() and (char.isalnum() or char in "_-"))
    return kept[:64] or "unknown"
