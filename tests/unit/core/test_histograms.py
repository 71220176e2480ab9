"""Histograms that are added up here say what OpenTelemetry's own would."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry, generate_latest

from bulkhead.telemetry import histograms
from bulkhead.telemetry.histograms import Histogram
from bulkhead.telemetry.setup import PeriodicReader, PrometheusReader

BOUNDS = [0.5, 1.0, 2.5]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other histograms, and these record."""
    monkeypatch.setattr(histograms, "_histograms", [])
    monkeypatch.setattr(histograms, "_recording", True)


def theirs() -> tuple[Any, Callable[[], list[Metric]]]:
    """A histogram of the SDK's, and what it gives."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")

    def read() -> list[Metric]:
        data = reader.get_metrics_data()
        return list(data.resource_metrics[0].scope_metrics[0].metrics) if data else []

    return (
        meter.create_histogram(
            "took", "s", "What it is.", explicit_bucket_boundaries_advisory=BOUNDS
        ),
        read,
    )


def ours() -> tuple[Any, Callable[[], list[Metric]]]:
    """The same of ours."""
    made = Histogram("took", "s", "What it is.", BOUNDS)
    return made, lambda: list(histograms.read().metrics)


def told(metrics: list[Metric]) -> Any:
    """All that a reading says but its times."""
    found = {}
    for metric in metrics:
        for point in metric.data.data_points:
            assert isinstance(point, HistogramDataPoint)
            assert 0 < point.start_time_unix_nano <= point.time_unix_nano
            exemplars = sorted(
                (e.value, e.trace_id, e.span_id, dict(e.filtered_attributes or {}))
                for e in point.exemplars
            )
            assert all(0 < e.time_unix_nano <= point.time_unix_nano for e in point.exemplars)
            found[frozenset((point.attributes or {}).items())] = (
                *(point.count, point.sum, point.min, point.max),
                *(tuple(point.bucket_counts), tuple(point.explicit_bounds), exemplars),
            )
    return [(m.name, m.unit, m.description, type(m.data).__name__) for m in metrics], found


def test_they_say_what_the_sdks_say() -> None:
    tracer = TracerProvider().get_tracer("test")
    unsampled = TracerProvider(sampler=ALWAYS_OFF).get_tracer("test")
    sides = [ours(), theirs()]
    values = [(0, "a"), (0.5, "a"), (0.51, "b"), (1, "a"), (3, "a"), (7.25, "a"), (2.5, "b")]
    with tracer.start_as_current_span("work"):
        for value, kind in values:
            for histogram, _ in sides:
                histogram.record(value, {"kind": kind, "status": 200})
    first = [told(read()) for _, read in sides]
    assert first[0] == first[1]
    assert len(first[0][1]) == 2
    with unsampled.start_as_current_span("work"):
        for histogram, _ in sides:
            histogram.record(0.25, {"status": 200, "kind": "a"})  # the same labels in another order
    second = [told(read()) for _, read in sides]
    assert second[0] == second[1]
    counts = {dict(labels)["kind"]: found[0] for labels, found in second[0][1].items()}
    assert counts == {"a": 6, "b": 2}  # cumulative
    assert not any(found[-1] for found in second[0][1].values())  # exemplars are told once


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_what_is_no_amount_is_left_out_and_said(
    value: float, caplog: pytest.LogCaptureFixture
) -> None:
    histogram, read = ours()
    histogram.record(1, {})
    histogram.record(value, {})
    assert [found[0] for found in told(read())[1].values()] == [1]
    assert "took" in caplog.text


def test_nothing_is_kept_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histograms, "_recording", False)
    histogram, read = ours()
    histogram.record(1, {})
    assert read() == []
    histograms.record_from_now()
    histogram.record(1, {})
    assert len(read()) == 1


def test_no_value_is_lost_between_threads() -> None:
    histogram, read = ours()

    def many() -> None:
        for _ in range(5000):
            histogram.record(1, {"kind": "a"})

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[:2] for found in told(read())[1].values()] == [(20_000, 20_000)]


class Kept(MetricExporter):
    """Keeps what is exported."""

    def __init__(self) -> None:
        super().__init__()
        self.exported: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, *_: Any, **__: Any) -> MetricExportResult:
        self.exported.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None: ...


def test_they_are_exported_beside_the_sdks_own() -> None:
    exporter = Kept()
    reader = PeriodicReader(exporter, 3_600_000)
    provider = MeterProvider([reader], Resource({"service.name": "test"}))
    provider.get_meter("test").create_counter("counted").add(1)
    ours()[0].record(1, {"kind": "a"})
    provider.force_flush()
    (data,) = exporter.exported
    (resource,) = data.resource_metrics
    assert resource.resource.attributes["service.name"] == "test"
    assert [m.name for s in resource.scope_metrics for m in s.metrics] == ["counted", "took"]
    provider.shutdown()


def test_prometheus_is_shown_them_beside_the_sdks_own() -> None:
    registry = CollectorRegistry()
    reader = PrometheusReader(scope_info_enabled=False, registry=registry)
    provider = MeterProvider([reader])
    provider.get_meter("test").create_counter("counted").add(1)
    ours()[0].record(0.75, {"kind": "a"})
    page = generate_latest(registry).decode()
    assert "counted_total 1.0" in page
    assert 'took_seconds_bucket{kind="a",le="0.5"} 0.0' in page
    assert 'took_seconds_bucket{kind="a",le="1.0"} 1.0' in page
    assert 'took_seconds_sum{kind="a"} 0.75' in page
    provider.shutdown()
