"""The way of a question: find, decide whether to ask, ask, cite and check while it streams."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import openai
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.retrievers import BaseRetriever

from bulkhead.errors import ApiError, InvalidValue, Unavailable
from retriever.answer.cite import Citation, CitingStream, Grounding
from retriever.answer.ground import EVALUATOR, Evidence
from retriever.answer.prompt import STOP, CountTokens, fit
from retriever.answer.relevance import NOTHING_FOUND, relevant
from retriever.answer.retriever import to_hit
from retriever.index.model import Hit
from retriever.report import Report
from retriever.settings import RetrieverSettings

BACKGROUND = 12
"""Chunks that the search is asked for at least, for the weights of the grounding check."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the model server counted them; zero when the model was not asked.

    Of an answer that was stopped for looping: the prompt's text, and the pieces that came.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """The end of an answer: all that is known once the last word is out."""

    citations: list[Citation]
    grounding: Grounding
    hits: list[Hit]
    usage: Usage = field(default_factory=Usage)
    finish_reason: str = "stop"


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
    ) -> AsyncGenerator[str | Answered, None]:
        """The answer's words as they come, then one `Answered`.

        `prompt_tokens` is the most the prompt may have; `parameters` go to the model as they are,
        with stops of our own added to theirs.
        Raises `Unavailable` with the part that is down; closing the generator stops the model.
        """
        found = await retriever.ainvoke(_query(question))
        hits = [to_hit(document) for document in found]
        shown = hits[: question.top_k]
        with report.stage("prepare"):
            evidence = Evidence(
                question.text,
                shown,
                hits,
                self._settings.language,
                self._settings.support_threshold,
            )
            settings = self._settings
            worth = relevant(shown, evidence, settings.relevance, settings.relevance_words)
        if not worth:
            yield NOTHING_FOUND
            yield Answered([], Grounding(False, [], True, EVALUATOR), shown)
            return
        with report.stage("prompt"):
            messages, kept = await fit(
                question.text,
                found[: question.top_k],
                question.history,
                prompt_tokens,
                self._count_tokens,
            )
        stream = CitingStream(evidence)
        usage, finish_reason, pieces, citing = Usage(), "stop", 0, 0.0
        stops = [*STOP, *parameters.get("stop", [])]
        sampling = {**parameters, "stop": stops}
        async with aclosing(_generate(model, messages, sampling, report)) as chunks:
            async for chunk in chunks:
                if chunk.usage_metadata:
                    usage = Usage(
                        chunk.usage_metadata["input_tokens"], chunk.usage_metadata["output_tokens"]
                    )
                finish_reason = chunk.response_metadata.get("finish_reason") or finish_reason
                pieces += bool(chunk.text)
                started = time.perf_counter()
                words = stream.feed(chunk.text)
                citing += time.perf_counter() - started
                if words:
                    yield words
                if stream.repeats:
                    break
        with report.stage("cite"):
            rest = stream.end(finished=finish_reason == "stop" and not stream.repeats)
        report.add("cite", citing)
        if stream.repeats:  # the server's own count comes with the end that it did not reach
            prompt = "\n".join(str(message.content) for message in messages)
            usage = Usage(await self._count_tokens(prompt), pieces)
        if rest:
            yield rest
        yield Answered(
            stream.citations, stream.grounding(), shown[: len(kept)], usage, finish_reason
        )


def _query(question: Question) -> str:
    """What to search for: the question, after the one before it, which it may lean on."""
    before = [turn for turn in question.history if isinstance(turn, HumanMessage)]
    return f"{before[-1].text}\n{question.text}" if before else question.text


async def _generate(
    model: BaseChatModel,
    messages: list[BaseMessage],
    parameters: Mapping[str, Any],
    report: Report,
) -> AsyncGenerator[AIMessageChunk, None]:
    """The model's chunks. The time spent waiting for them, and for the first, are stages."""
    chunks = model.astream(messages, **parameters)
    waited = 0.0
    try:
        while True:
            started = time.perf_counter()
            chunk = await anext(chunks, None)
            waited += time.perf_counter() - started
            if chunk is None:
                return
            assert isinstance(chunk, AIMessageChunk)
            if chunk.text and "first_token" not in report.timings:
                report.add("first_token", waited)
            yield chunk
    except openai.APIStatusError as error:
        raise _refusal(error) from error
    except openai.APIError as error:
        reason = type(error).__name__
        raise Unavailable("llm", f"the model server does not answer ({reason})") from error
    finally:
        report.add("generate", waited)
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
