"""The way of a question: find, decide whether to ask, ask, cite and check while it streams."""

import asyncio
import logging
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import openai
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.retrievers import BaseRetriever

from bulkhead.errors import ApiError, InvalidValue, Unavailable
from retriever.agent.gate import Gate
from retriever.agent.links import LinkFilter
from retriever.agent.loop import Agent, Model
from retriever.agent.steps import Outcome, Step
from retriever.agent.untrusted import new_mark
from retriever.answer.cite import Citation, CitingStream, Grounding
from retriever.answer.ground import EVALUATOR, Evidence, take_apart
from retriever.answer.model_call import ModelCall
from retriever.answer.prompt import STOP, CountTokens, fit
from retriever.answer.relevance import NOTHING_FOUND, relevant
from retriever.answer.retriever import to_hit
from retriever.index.model import Hit
from retriever.report import Report
from retriever.settings import RetrieverSettings

logger = logging.getLogger(__name__)

BACKGROUND = 12
"""Chunks that the search is asked for at least, for the weights of the grounding check."""


_TURN_SECONDS = 0.001
"""How long words that came all at once are worked off before other requests have a turn."""
_ASKED_SECONDS = 0.003
"""After which a call to a neighbour has left."""
NO_ANSWER = "I could not answer this with the tools and the limits that I have."


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the model server counted them; zero when the model was not asked.

    Of an answer that was stopped for looping: of the texts of prompt and answer.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, more: UsageMetadata) -> "Usage":
        """With what one more turn of the model took."""
        return Usage(
            self.prompt_tokens + more["input_tokens"],
            self.completion_tokens + more["output_tokens"],
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """The end of an answer: all that is known once the last word is out."""

    citations: list[Citation]
    grounding: Grounding
    hits: list[Hit]
    usage: Usage = field(default_factory=Usage)
    finish_reason: str = "stop"
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the question, the turns before it, and how many chunks to show the model."""

    text: str
    history: Sequence[BaseMessage]
    top_k: int


class Answerer:
    """Answers questions with a LangChain retriever and a LangChain chat model."""

    def __init__(self, settings: RetrieverSettings, count_tokens: CountTokens) -> None:
        self._settings = settings
        self._count_tokens = count_tokens

    async def answer(
        self,
        question: Question,
        retriever: BaseRetriever,
        model: BaseChatModel,
        prompt_tokens: int,
        parameters: Mapping[str, Any],
        report: Report,
        gate: Gate | None = None,
    ) -> AsyncGenerator[str | Step | Answered, None]:
        """The answer's words as they come, then one `Answered`.

        `prompt_tokens` is the most the prompt may have; `parameters` go to the model as they are,
        with stops of our own added to theirs. With a `gate` the model may call its tools, also
        when nothing was found; each call is a `Step`, as it happens and in the end.
        Raises `Unavailable` with the part that is down; closing the generator stops the model.
        """
        found = await retriever.ainvoke(_query(question))
        hits = [to_hit(document) for document in found]
        shown = hits[: question.top_k]
        evidence = await self._evidence(question, shown, hits, report)
        settings = self._settings
        worth = relevant(shown, evidence, settings.relevance, settings.relevance_words)
        if not worth and gate is None:
            yield NOTHING_FOUND
            yield Answered([], Grounding(False, [], True, EVALUATOR), shown)
            return
        with report.stage("prompt"):
            messages, kept = await fit(
                question.text,
                found[: question.top_k] if worth else [],
                question.history,
                prompt_tokens,
                self._count_tokens,
                new_mark() if gate else "",
            )
        await asyncio.sleep(0)  # others have a turn before the call to the model is built
        stream = CitingStream(evidence)
        links = LinkFilter({hit.source for hit in shown})
        usage, finish_reason, said, citing = Usage(), "stop", list[str](), 0.0
        steps: list[Step] = []
        speaking = False  # the model has said something since the last call
        stops = [*STOP, *parameters.get("stop", [])]
        sampling = {**parameters, "stop": stops}

        named: str = getattr(model, "model_name", type(model).__name__)

        def generate(
            model: Model, messages: list[BaseMessage]
        ) -> AsyncGenerator[AIMessageChunk, None]:
            return _generate(model, named, messages, sampling, report)

        if gate is None:
            events: AsyncGenerator[AIMessageChunk | Step, None] = generate(model, messages)
        else:
            gate.tainted = bool(kept) or _others_spoke(question.history)
            agent = Agent(gate, self._count_tokens, prompt_tokens)
            events = agent.run(messages, model, model.bind_tools, generate)
        async with aclosing(events), _beside(evidence.prepare):
            async for event in events:
                if isinstance(event, Step):
                    steps.append(event)
                    report.add("tools", event.duration_ms / 1000)
                    if event.outcome is Outcome.ERROR:
                        report.degrade(f"mcp-{event.server}")
                    learned = [hit for step in steps for hit in step.hits()]
                    evidence = await self._evidence(
                        question, _once([*shown, *learned]), _once([*hits, *learned]), report
                    )
                    await evidence.prepare()
                    stream.rest_on(evidence)
                    links.allow({hit.source for hit in event.found})
                    if words := links.feed(stream.feed("\n\n") if speaking else ""):
                        yield words
                    speaking = False
                    yield event
                    continue
                if event.usage_metadata:
                    usage = usage.plus(event.usage_metadata)
                finish_reason = event.response_metadata.get("finish_reason") or finish_reason
                if event.text:
                    said.append(event.text)
                    speaking = True
                started = time.perf_counter()
                words = links.feed(stream.feed(event.text))
                citing += time.perf_counter() - started
                if words:
                    yield words
                if stream.repeats:
                    break
        finish_reason = "stop" if finish_reason == "tool_calls" else finish_reason
        with report.stage("cite"):
            rest = stream.end(finished=finish_reason == "stop" and not stream.repeats)
            rest = links.feed(rest) + links.end()
        report.add("cite", citing)
        if stream.repeats:  # the server's own count comes with the end that it did not reach
            prompt = "\n".join(str(message.content) for message in messages)
            usage = Usage(await self._count_tokens(prompt), await self._count_tokens("".join(said)))
        if rest:
            yield rest
        elif not said:  # a model that only ever called tools
            yield NO_ANSWER
        grounding = stream.grounding() if said else Grounding(False, [], True, EVALUATOR)
        read = [hit for step in steps for hit in step.found]
        yield Answered(
            _with_tools(stream.citations, steps),
            grounding,
            _once([*shown[: len(kept)], *read]),
            usage,
            finish_reason,
            steps,
        )

    async def _evidence(
        self, question: Question, cited: list[Hit], background: list[Hit], report: Report
    ) -> Evidence:
        settings = self._settings
        with report.stage("prepare"):
            await take_apart(background, question.text, settings.language)
            evidence = Evidence(
                question.text, cited, background, settings.language, settings.support_threshold
            )
            await asyncio.sleep(0)
            return evidence


@asynccontextmanager
async def _beside(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Do `work`, once the body has asked its neighbour and waits; at its end no more of it."""

    async def later() -> None:
        await asyncio.sleep(_ASKED_SECONDS)
        await work()

    task = asyncio.create_task(later())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _others_spoke(history: Sequence[BaseMessage]) -> bool:
    """Whether the turns before hold an answer, which documents and tools had their part in."""
    return any(isinstance(turn, AIMessage) for turn in history)


def _once(hits: Sequence[Hit]) -> list[Hit]:
    """Each chunk once, where it came first."""
    return list({hit.chunk_id: hit for hit in reversed(hits)}.values())[::-1]


def _with_tools(citations: Sequence[Citation], steps: Sequence[Step]) -> list[Citation]:
    """The citations; those of a tool's result say which call it came from."""
    sources = {step.id: step.source for step in steps}
    return [
        replace(citation, tool=sources[citation.document_id])
        if citation.document_id in sources
        else citation
        for citation in citations
    ]


def _query(question: Question) -> str:
    """What to search for: the question, after the one before it, which it may lean on."""
    before = [turn for turn in question.history if isinstance(turn, HumanMessage)]
    return f"{before[-1].text}\n{question.text}" if before else question.text


async def _generate(
    model: Model,
    named: str,
    messages: list[BaseMessage],
    parameters: Mapping[str, Any],
    report: Report,
) -> AsyncGenerator[AIMessageChunk, None]:
    """The model's chunks. The time that it takes for them, and for the first, are stages.

    While it computes, the chunk before is worked off: that time is the model's, unless its next one
    was there already and had to wait for us.
    """
    chunks = model.astream(messages, **parameters)
    call = ModelCall(named, report.traffic)
    taken = 0.0
    turn = received = time.perf_counter()
    failure: BaseException | None = None
    request: AbstractContextManager[object] = call.current()
    try:
        while True:
            started = time.perf_counter()
            with request:
                chunk = await anext(chunks, None)
            request = nullcontext()  # it has left, with the span's id in its headers
            now = time.perf_counter()
            if now - started > _TURN_SECONDS:  # it was waited for: others had their turn
                taken += now - received
                turn = now
            else:
                taken += now - started
                if now - turn > _TURN_SECONDS:
                    await asyncio.sleep(0)
                    turn = time.perf_counter()
            received = now
            if chunk is None:
                return
            assert isinstance(chunk, AIMessageChunk)
            call.chunk(chunk)
            if chunk.text and report.first_word is None:
                report.word()
                report.add("first_token", taken)
            yield chunk
    except openai.APIStatusError as error:
        failure = error
        raise _refusal(error) from error
    except openai.APIError as error:
        failure = error
        reason = type(error).__name__
        raise Unavailable("llm", f"the model server does not answer ({reason})") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # Nobody checks what a model server sends before LangChain reads it.
        failure = error
        told = {"reason": type(error).__name__}  # its message may hold what was said
        logger.warning("the model server's stream cannot be read", extra=told)
        raise Unavailable("llm", "what the model server sends cannot be read") from error
    finally:
        call.end(failure)
        report.add("generate", taken)
        await _closed(chunks)


async def _closed(chunks: AsyncIterator[object]) -> None:
    """Close a stream that was left early, and with it the connection to the model server."""
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()


def _refusal(error: openai.APIStatusError) -> ApiError:
    """The model server's own 400 and 422 are about the request's parameters."""
    if error.status_code in (400, 422):
        return InvalidValue(f"the model server refused the request: {error.message}")
    return Unavailable("llm", f"the model server answered {error.status_code}")
