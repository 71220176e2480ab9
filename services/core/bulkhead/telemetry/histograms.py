"""Histograms that add up here, and are put beside what OpenTelemetry's SDK exports.

The SDK's own check, copy and hash its labels at every value, which takes 9.5 µs where nothing
else runs and more between other work; a question records sixteen values, and they were a third of
what its telemetry cost (docs/performance.md). What leaves the process is the same, with
exemplars: the last value of each bucket that belongs to a sampled trace. They count from the start
of the process, whatever temporality the SDK is told to prefer: so Prometheus reads them.
"""

import logging
import math
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, get_current_span
from opentelemetry.util.types import AttributeValue

_log = logging.getLogger(__name__)

Labels = Mapping[str, AttributeValue]


class _Series:
    """What was recorded with the same labels."""

    __slots__ = ("buckets", "exemplars", "labels", "least", "most", "since", "total")

    def __init__(self, labels: Labels, bounds: Sequence[float]) -> None:
        self.labels = dict(labels)
        self.since = time.time_ns()
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.least, self.most = math.inf, -math.inf
        self.exemplars: dict[int, tuple[float, int, SpanContext]] = {}
        """By bucket, since the last reading: value, time (ns since 1970) and whose it was."""

    def read(self, now: int, bounds: Sequence[float]) -> HistogramDataPoint:
        exemplars = [
            Exemplar({}, value, at, context.span_id, context.trace_id)
            for value, at, context in self.exemplars.values()
        ]
        self.exemplars = {}
        return HistogramDataPoint(
            attributes=self.labels,
            start_time_unix_nano=self.since,
            time_unix_nano=now,
            count=sum(self.buckets),
            sum=self.total,
            bucket_counts=tuple(self.buckets),
            explicit_bounds=bounds,
            min=self.least,
            max=self.most,
            exemplars=exemplars,
        )


class Histogram:
    """How often values fell between bounds. Nothing is kept before `record_from_now`."""

    def __init__(self, name: str, unit: str, description: str, bounds: Sequence[float]) -> None:
        """To be made once a process for each name. `bounds` ascend; each belongs to its bucket."""
        self._name, self._unit, self._description = name, unit, description
        self._bounds = tuple(bounds)
        self._series: dict[frozenset[tuple[str, AttributeValue]], _Series] = {}
        self._lock = threading.Lock()
        _histograms.append(self)

    def record(self, value: float, labels: Labels) -> None:
        """Count `value`, which is not negative, under these labels, of which there must be few."""
        if not _recording:
            return
        if not 0 <= value < math.inf:
            _log.warning("a value of %s was not recorded: %s", self._name, value)
            return
        key = frozenset(labels.items())
        bucket = bisect_left(self._bounds, value)
        context = get_current_span().get_span_context()
        with self._lock:
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = _Series(labels, self._bounds)
            series.buckets[bucket] += 1
            series.total += value
            if value < series.least:
                series.least = value
            if value > series.most:
                series.most = value
            if context.trace_flags.sampled:
                series.exemplars[bucket] = (value, time.time_ns(), context)

    def read(self, now: int) -> Metric | None:
        """All that was recorded, up to `now` (ns since 1970); none if nothing was."""
        with self._lock:
            points = [series.read(now, self._bounds) for series in self._series.values()]
        if not points:
            return None
        data = HistogramData(points, AggregationTemporality.CUMULATIVE)
        return Metric(self._name, self._description, self._unit, data)


_histograms: list[Histogram] = []
_recording = False
_SCOPE = InstrumentationScope("bulkhead")


def record_from_now() -> None:
    """Let the histograms of this process keep what they are told: somebody reads it."""
    global _recording
    _recording = True


def read() -> ScopeMetrics:
    """All histograms in which something was recorded."""
    now = time.time_ns()
    metrics = [metric for histogram in _histograms if (metric := histogram.read(now))]
    return ScopeMetrics(_SCOPE, metrics, "")
