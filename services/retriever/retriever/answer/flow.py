"""The way of a question: find, decide whether to ask, ask, cite and check while it streams."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.retrievers import BaseRetriever

from bulkhead.errors import Unavailable
from retriever.agent.functions import Function, one_call
from retriever.agent.gate import Gate
from retriever.agent.loop import Agent, Model, WithResults
from retriever.agent.steps import Outcome, Step
from retriever.agent.untrusted import new_mark
from retriever.answer.checked import CheckedStream, once
from retriever.answer.cite import Citation, Grounding
from retriever.answer.context import context_of, find, leans
from retriever.answer.generation import Heard, Usage, generate
from retriever.answer.ground import EVALUATOR
from retriever.answer.prompt import CountTokens, fit
from retriever.answer.relevance import relevant
from retriever.answer.retriever import to_hit
from retriever.answer.rewriting import Rewriter
from retriever.answer.shown import shown as worth_showing
from retriever.branding.answers import Answers
from retriever.index.model import Hit
from retriever.report import Report
from retriever.search import Context
from retriever.settings import RetrieverSettings

BACKGROUND = 12
"""Chunks that the search is asked for at least, for the weights of the grounding check."""
_ABSTAINED = Grounding(False, [], True, EVALUATOR)


@dataclass(frozen=True, slots=True)
class Answered:
    """The end of an answer: all that is known once the last word is out."""

    citations: list[Citation]
    grounding: Grounding
    hits: list[Hit]
    usage: Usage = field(default_factory=Usage)
    finish_reason: str = "stop"
    steps: list[Step] = field(default_factory=list)
    searched: list[str] = field(default_factory=list)
    """What was searched for: the question, and what it was searched for with."""


@dataclass(frozen=True, slots=True)
class Declined:
    """Words of the server's own in place of an answer, which the model did not give."""

    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the question, the turns before it, and how many chunks to show the model."""

    text: str
    history: Sequence[BaseMessage]
    top_k: int | None = None
    """None: as many as are worth it and fit the settings' tokens."""
    rules: str = ""
    """The caller's own instructions to the model."""
    before: str = ""
    """What was said in the same turn before the question."""
    marked: bool = True
    """Whether the answer has our marks in it; one in JSON has not."""

    def context(self, language: str) -> list[Context]:
        """What it is searched for with: of what was said before, what it may be about."""
        return context_of(*_said(self), self.text, language)


Event = str | Step | Declined | Answered
"""What an answer is made of, as it comes."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A LangChain chat model that may answer, and how it is asked."""

    model: BaseChatModel
    prompt_tokens: int
    """The most that the prompt may have."""
    count_tokens: CountTokens
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """These go to the model as they are, with stops of our own added to theirs."""
    calls_by_schema: bool = False
    """Its server takes `tool_choice: required` and does not hold to it, but to a schema."""
    answered: Callable[[], None] = lambda: None
    """Called once it says something."""
    failed: Callable[[Unavailable], None] = lambda _: None
    """Called when it cannot be asked, or breaks off."""


Choices = AsyncGenerator[Choice, None]
"""Who is asked first, and who next where one fails before it says anything."""


@dataclass(frozen=True, slots=True)
class _Prompt:
    """What a choice is asked."""

    choice: Choice
    messages: list[BaseMessage]
    shown: int
    """Sources that found their place in it."""
    with_results: WithResults
    """The same with what tools returned before the sources."""


class Answerer:
    """Answers questions with a LangChain retriever and LangChain chat models."""

    def __init__(self, settings: RetrieverSettings, words: Answers) -> None:
        self._settings = settings
        self._words = words

    async def answer(
        self,
        question: Question,
        retriever: BaseRetriever,
        choices: Choices,
        report: Report,
        gate: Gate | None = None,
        rewriter: Rewriter | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The answer's words as they come, or one `Declined`, then one `Answered`.

        The `retriever` searches for the question with its `context`.

        The first of `choices` answers; the next is asked, with a prompt that fits it, where one
        fails before its first word or call. With a `gate` the model may call its tools, also
        when nothing was found; each call is a `Step`, as it happens and in the end.
        Raises `Unavailable` with the part that is down; closing the generator stops the model.
        """
        settings = self._settings
        context = question.context(settings.language)
        rewrite = None
        if rewriter is not None and context and leans(question.text, settings.language):
            how = self._words.prompt.rewrite
            said = (question.history, question.text, settings.language)
            rewrite = partial(rewriter.rewritten, how, *said, report)
        found, rewritten = await find(retriever, question.text, rewrite)
        searched = [question.text, *(one.text for one in context if one.meaning)]
        searched += [rewritten] if rewritten else []
        hits = [to_hit(document) for document in found]
        places = self._shown(hits, question.top_k)
        shown = [hits[place] for place in places]
        checked = CheckedStream(
            question.text,
            shown,
            hits,
            settings.language,
            settings.support_threshold,
            report,
            question.marked,
            self._words.abstentions,
        )
        worth = relevant(shown, checked.evidence, settings.relevance, settings.relevance_words)
        if not worth and gate is None:
            yield Declined(self._words.said.nothing_found)
            yield Answered([], _ABSTAINED, shown, searched=searched)
            return

        sources = [found[place] for place in places] if worth else []

        async def fitting(
            choice: Choice, results: Sequence[Document] = ()
        ) -> tuple[list[BaseMessage], list[Document]]:
            with report.stage("prompt"):
                return await fit(
                    question.text,
                    [*results, *sources],
                    question.history,
                    choice.prompt_tokens,
                    choice.count_tokens,
                    self._words,
                    new_mark() if gate else "",
                    question.rules,
                    question.before,
                )

        async def prompt(choice: Choice) -> _Prompt:
            async def with_results(results: Sequence[Document]) -> list[BaseMessage]:
                return (await fitting(choice, results))[0] if results else messages

            messages, kept = await fitting(choice)
            if gate is not None:
                gate.tainted = bool(kept) or _others_spoke(question.history)
            return _Prompt(choice, messages, len(kept), with_results)

        heard = Heard()
        steps: list[Step] = []
        async with aclosing(self._first_to_answer(choices, prompt, report, gate)) as events:
            async for asked_with, event in events:  # noqa: B007 - the last is told of below
                if isinstance(event, Step):
                    steps.append(event)
                    if words := await asyncio.to_thread(checked.learn, event):
                        yield words
                    yield event
                    continue
                heard.add(event)
                if words := checked.feed(event.text):
                    yield words
                if checked.repeats:
                    break

        finish_reason = "stop" if heard.finish_reason == "tool_calls" else heard.finish_reason
        if rest := checked.end(finished=finish_reason == "stop"):
            yield rest
        elif not heard.words:  # a model that only ever called tools
            yield Declined(self._words.said.no_answer)
        read = [hit for step in steps for hit in step.found]
        yield Answered(
            checked.citations,
            checked.grounding() if heard.words else _ABSTAINED,
            once([*shown[: asked_with.shown], *read]),
            await _counted(asked_with, heard) if checked.repeats else heard.usage,
            finish_reason,
            steps,
            searched,
        )

    def _shown(self, hits: Sequence[Hit], top_k: int | None) -> Sequence[int]:
        """The places of the chunks that the model is shown."""
        if top_k is not None:
            return range(min(top_k, len(hits)))
        told = self._settings
        return worth_showing(hits, told.source_tokens, told.top_k, told.source_relevance)

    async def _first_to_answer(
        self,
        choices: Choices,
        prompt: Callable[[Choice], Awaitable[_Prompt]],
        report: Report,
        gate: Gate | None,
    ) -> AsyncGenerator[tuple[_Prompt, AIMessageChunk | Step], None]:
        """What the first choice that says something says, each with what it was asked."""
        failure: Unavailable | None = None
        async with aclosing(choices):
            async for choice in choices:
                began = False
                try:
                    asked = await prompt(choice)
                    yield asked, AIMessageChunk(content="")  # for one that then says nothing
                    async with aclosing(self._ask(asked, report, gate)) as events:
                        async for event in events:
                            if not began and _says_something(event):
                                began = True
                                report.model = _name(choice.model)
                                choice.answered()
                            yield asked, event
                    return
                except Unavailable as error:
                    if error.part != "llm":
                        raise
                    choice.failed(error)
                    if began:
                        raise
                    failure = error
        assert failure is not None, "there was no choice"
        raise failure

    async def _ask(
        self, asked: _Prompt, report: Report, gate: Gate | None
    ) -> AsyncGenerator[AIMessageChunk | Step, None]:
        """The model's chunks; with a `gate` over as many turns as it takes, and a step a call."""
        choice = asked.choice
        parameters = choice.parameters
        sampling = {**parameters, "stop": [*self._words.stop, *parameters.get("stop", [])]}
        # The shape of the answer is no matter of the calls before it.
        calling = {name: value for name, value in sampling.items() if name != "response_format"}
        plain, named = choice.model, _name(choice.model)

        def turn(model: Model, messages: list[BaseMessage]) -> AsyncGenerator[AIMessageChunk, None]:
            parameters = sampling if model is plain else calling
            words = model is plain or not choice.calls_by_schema
            return generate(model, named, messages, parameters, report, words=words)

        if gate is None:
            events: AsyncGenerator[AIMessageChunk | Step, None] = turn(plain, asked.messages)
        else:

            def bind(tools: list[Function], now: list[Function]) -> Model:
                if choice.calls_by_schema:  # the tools stay as they are: they are read once
                    return plain.bind_tools(tools, response_format=one_call(now))
                return plain.bind_tools(now, tool_choice="required")

            most, count = choice.prompt_tokens, choice.count_tokens
            agent = Agent(gate, count, most, self._words, asked.with_results)
            events = agent.run(asked.messages, asked.shown > 0, plain, bind, turn)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Step):
                    report.add("tools", event.duration_ms / 1000)
                    if event.outcome is Outcome.ERROR:
                        report.degrade(f"mcp-{event.server}")
                yield event


async def _counted(asked: _Prompt, heard: Heard) -> Usage:
    """Tokens of an answer that was stopped: the server's own count comes with its end."""
    prompt = "\n".join(str(message.content) for message in asked.messages)
    count = asked.choice.count_tokens
    return Usage(await count(prompt), await count("".join(heard.words)))


def _name(model: BaseChatModel) -> str:
    named: str = getattr(model, "model_name", type(model).__name__)
    return named


def _says_something(event: AIMessageChunk | Step) -> bool:
    return isinstance(event, Step) or bool(event.text or event.tool_call_chunks)


def _others_spoke(history: Sequence[BaseMessage]) -> bool:
    """Whether the turns before hold an answer, which documents and tools had their part in."""
    return any(isinstance(turn, AIMessage) for turn in history)


def _said(question: Question) -> tuple[list[str], str]:
    """What the user said before the question, oldest first, and what was answered last."""
    history = question.history
    turns = [str(turn.text) for turn in history if isinstance(turn, HumanMessage)]
    answers = (str(turn.text) for turn in reversed(history) if isinstance(turn, AIMessage))
    return [*turns, question.before] if question.before else turns, next(answers, "")
