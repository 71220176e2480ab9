"""What this process has counted and traced, for tests; the providers are global and set once."""

import time
from functools import cache
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

Labels = frozenset[tuple[str, Any]]


@cache
def _recording() -> tuple[InMemoryMetricReader, InMemorySpanExporter]:
    reader, spans = InMemoryMetricReader(), InMemorySpanExporter()
    metrics.set_meter_provider(MeterProvider([reader]))
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(tracers)
    return reader, spans


class Recorded:
    """What was recorded since this object was made."""

    def __init__(self) -> None:
        self._reader, self._spans = _recording()
        self._spans.clear()
        self._before = self._points()

    def _points(self) -> dict[tuple[str, Labels], float]:
        """What every series counts, by metric and labels."""
        points: dict[tuple[str, Labels], float] = {}
        time.sleep(0.02)  # a request is counted when its last byte has left
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for metric in (one for scope in resource.scope_metrics for one in scope.metrics):
                for point in metric.data.data_points:
                    labels = frozenset((point.attributes or {}).items())
                    points[metric.name, labels] = (
                        point.value if isinstance(point, NumberDataPoint) else point.count
                    )
        return points

    def counts(self, metric: str) -> dict[Labels, float]:
        """By labels: how much a counter grew, how often a histogram recorded."""
        return {
            labels: count - self._before.get((name, labels), 0)
            for (name, labels), count in self._points().items()
            if name == metric and count != self._before.get((name, labels), 0)
        }

    def total(self, metric: str, **labels: str) -> float:
        """The growth over all series with these labels; dots in their names as underscores."""
        return sum(
            count
            for found, count in self.counts(metric).items()
            if labels.items() <= {key.replace(".", "_"): value for key, value in found}.items()
        )

    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended."""
        return list(self._spans.get_finished_spans())
