"""What of a caller's trace and baggage is read, and what goes on to neighbours: ours alone.

A caller may say to which trace a request belongs, and that it is a canary. Their own baggage and
`tracestate` are words of theirs, of any length, for whatever neighbour we ask.
"""

from typing import Final

from opentelemetry import trace
from opentelemetry.baggage import get_all, get_baggage, set_baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bulkhead.telemetry import names

_TRACE: Final = TraceContextTextMapPropagator()
_BAGGAGE: Final = W3CBaggagePropagator()
_OURS: Final = (names.TRAFFIC, names.REQUEST_ID, names.TENANT)
"""Baggage that goes on; the last two are set here, and never read from a caller."""


class OwnWords(TextMapPropagator):
    """W3C trace context without `tracestate`, and W3C baggage with our own names."""

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """`context` with the caller's trace, and with `rag.traffic` where it is a known word."""
        context = _TRACE.extract(carrier, context, getter)
        parent = trace.get_current_span(context).get_span_context()
        if parent.is_valid and parent.trace_state:
            bare = trace.SpanContext(
                parent.trace_id, parent.span_id, parent.is_remote, parent.trace_flags
            )
            context = trace.set_span_in_context(trace.NonRecordingSpan(bare), context)
        traffic = get_baggage(names.TRAFFIC, _BAGGAGE.extract(carrier, Context(), getter))
        if traffic in (names.USER_TRAFFIC, names.CANARY_TRAFFIC):
            context = set_baggage(names.TRAFFIC, traffic, context)
        return context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Put the trace and our own baggage into `carrier`."""
        _TRACE.inject(carrier, context, setter)
        ours = Context()
        for name, value in get_all(context).items():
            if name in _OURS:
                ours = set_baggage(name, value, ours)
        _BAGGAGE.inject(carrier, ours, setter)

    @property
    def fields(self) -> set[str]:
        """The headers that `inject` sets."""
        return {"traceparent", "baggage"}
