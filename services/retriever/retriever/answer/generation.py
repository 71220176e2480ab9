"""One turn of the model: its chunks as they come, its times, and its failures in our words."""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage

from bulkhead.errors import Unavailable
from retriever.agent.loop import Model
from retriever.answer.model_call import ModelCall
from retriever.report import Report

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the model server counted them; zero when the model was not asked.

    Of an answer that was stopped for looping: of the texts of prompt and answer.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(slots=True)
class Heard:
    """All that the model has said for one answer, over all its turns."""

    words: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    finish_reason: str = "stop"

    def add(self, chunk: AIMessageChunk) -> None:
        """Take in the next piece; tokens and the finish reason stand in a turn's last ones."""
        if chunk.text:
            self.words.append(chunk.text)
        if more := chunk.usage_metadata:
            self.usage = Usage(
                self.usage.prompt_tokens + more["input_tokens"],
                self.usage.completion_tokens + more["output_tokens"],
            )
        self.finish_reason = chunk.response_metadata.get("finish_reason") or self.finish_reason


async def generate(
    model: Model,
    named: str,
    messages: list[BaseMessage],
    parameters: Mapping[str, Any],
    report: Report,
    *,
    words: bool = True,
) -> AsyncGenerator[AIMessageChunk, None]:
    """The chunks that `model` makes of `messages`; it is known to metrics as `named`.

    `words`: what it says is for the reader, and no call in writing.
    How long it was waited for, for all and for the first word, are stages of the report.
    Raises `Unavailable("llm")`, or `InvalidValue` where the model server refuses the parameters.
    """
    started = time.perf_counter()
    waited = 0.0
    with _unreadable(), ModelCall(named, report.traffic) as call:
        chunks = model.astream(messages, **parameters)
        try:
            with call.current():  # for the span's id to go along in the request's headers
                chunk = await anext(chunks, None)
            while chunk is not None:
                waited += time.perf_counter() - started
                assert isinstance(chunk, AIMessageChunk)
                call.chunk(chunk)
                if words and chunk.text and report.first_word is None:
                    report.word()
                    report.add("first_token", waited)
                yield chunk
                started = time.perf_counter()
                chunk = await anext(chunks, None)
        finally:
            report.add("generate", waited)
            await _close(chunks)


@contextmanager
def _unreadable() -> Iterator[None]:
    """A stream that is no chat completion, as an error of this API."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # Nobody checks what a model server sends before LangChain reads it.
        told = {"reason": type(error).__name__}  # its message may hold what was said
        logger.warning("the model server's stream cannot be read", extra=told)
        raise Unavailable("llm", "what the model server sends cannot be read") from error


async def _close(chunks: AsyncIterator[object]) -> None:
    """Close a stream that was left early, and with it the connection to the model server."""
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()
