"""Spans: what happened inside a request, as OpenTelemetry's conventions name it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    format_trace_id,
    get_current_span,
    get_tracer,
)
from opentelemetry.util.types import AttributeValue

from bulkhead.telemetry import names

_tracer = get_tracer("bulkhead")

Attributes = Mapping[str, AttributeValue]


@contextmanager
def span(
    name: str, attributes: Attributes | None = None, kind: SpanKind = SpanKind.INTERNAL
) -> Iterator[Span]:
    """A span around the body, which is its current one. An exception becomes its `error.type`.

    Neither the exception's words nor its trace are kept: they may hold what a user wrote.
    """
    with _tracer.start_as_current_span(
        name, None, kind, attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except Exception as error:
            failed(current, error)
            raise


def begin(name: str, attributes: Attributes, kind: SpanKind = SpanKind.CLIENT) -> Span:
    """A span that the caller ends, for work that goes on between other work, like a stream."""
    return _tracer.start_span(name, kind=kind, attributes=attributes, record_exception=False)


def failed(current: Span, error: BaseException) -> None:
    """Mark a span as failed, by the kind of the error alone."""
    current.set_attribute(names.ERROR_TYPE, type(error).__name__)
    current.set_status(Status(StatusCode.ERROR))


def trace_id() -> str | None:
    """The id of the trace that this request belongs to, hex; none without telemetry."""
    context = get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None
