"""One call to a model, as OpenTelemetry's GenAI conventions see it: a span and four histograms."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from langchain_core.messages import AIMessageChunk
from opentelemetry.trace import Span, SpanKind, use_span
from opentelemetry.util.types import AttributeValue

from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import (
    OPERATION_DURATION,
    TIME_PER_OUTPUT_CHUNK,
    TIME_TO_FIRST_CHUNK,
    TOKEN_USAGE,
)
from bulkhead.telemetry.spans import begin, failed

_PROVIDER = "openai"  # the protocol that is spoken; who serves it is not known here


class ModelCall:
    """Follows a stream: its body reads it, and an exception there is the call's failure."""

    def __init__(self, model: str, traffic: str) -> None:
        about: dict[str, AttributeValue] = {
            names.OPERATION: names.CHAT,
            names.PROVIDER: _PROVIDER,
            names.REQUEST_MODEL: model,
        }
        self._labels = {**about, names.TRAFFIC: traffic}
        self._span: Span = begin(f"{names.CHAT} {model}", about, SpanKind.CLIENT)
        self._started = time.perf_counter()
        self._first = self._last = 0.0
        self._chunks = 0
        self._tokens: dict[str, int] = {}

    def current(self) -> AbstractContextManager[Span]:
        """Makes the span the current one, while the model is asked."""
        return use_span(self._span, record_exception=False, set_status_on_exception=False)

    def chunk(self, chunk: AIMessageChunk) -> None:
        """Count a piece of the answer; tokens and the finish reason stand in the last ones."""
        if chunk.text or chunk.tool_call_chunks:
            self._last = time.perf_counter()
            self._first = self._first or self._last
            self._chunks += 1
        if chunk.usage_metadata:
            used = chunk.usage_metadata
            self._tokens = {"input": used["input_tokens"], "output": used["output_tokens"]}
            self._span.set_attribute(names.INPUT_TOKENS, used["input_tokens"])
            self._span.set_attribute(names.OUTPUT_TOKENS, used["output_tokens"])
        if reason := chunk.response_metadata.get("finish_reason"):
            self._span.set_attribute(names.FINISH_REASONS, [reason])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the span and record the times. A stream that was left early is no failure."""
        labels = self._labels
        if isinstance(error, Exception):
            error = error.__cause__ or error  # of a neighbour's silence, which kind it was
            failed(self._span, error)
            labels = {**labels, names.ERROR_TYPE: type(error).__name__}
        self._count(time.perf_counter() - self._started, labels)
        self._span.end()

    def _count(self, seconds: float, labels: Mapping[str, AttributeValue]) -> None:
        OPERATION_DURATION.record(seconds, labels)
        if self._chunks:
            TIME_TO_FIRST_CHUNK.record(self._first - self._started, labels)
        if self._chunks > 1:
            each = (self._last - self._first) / (self._chunks - 1)
            TIME_PER_OUTPUT_CHUNK.record(each, labels)
        for kind, tokens in self._tokens.items():
            TOKEN_USAGE.record(tokens, {**self._labels, names.TOKEN_TYPE: kind})
