"""Counters that are added up here say what OpenTelemetry's own would."""

import threading
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Sum

from bulkhead.telemetry.sums import Counter, UpDownCounter


def read(reader: InMemoryMetricReader) -> dict[str, tuple[Any, ...]]:
    """By name: unit, description, whether it only grows, and the sums by their one label."""
    data = reader.get_metrics_data()
    found = {}
    for resource in data.resource_metrics if data else ():
        for metric in resource.scope_metrics[0].metrics:
            assert isinstance(metric.data, Sum)
            points = {
                str((p.attributes or {}).get("kind")): p.value for p in metric.data.data_points
            }
            found[metric.name] = (
                metric.unit, metric.description or "", metric.data.is_monotonic, points
            )  # fmt: skip
    return found


def test_sums_are_exported_like_counters() -> None:
    sides = []
    for ours in (True, False):
        reader = InMemoryMetricReader()
        meter = MeterProvider([reader]).get_meter("test")
        grows: Any
        waits: Any
        if ours:
            grows = Counter(meter, "grows", "{x}", "What it is.")
            waits = UpDownCounter(meter, "waits", "{x}", "What it is.")
        else:
            grows = meter.create_counter("grows", "{x}", "What it is.")
            waits = meter.create_up_down_counter("waits", "{x}", "What it is.")
        for amount, kind in ((1, "a"), (2, "b"), (3, "a")):
            grows.add(amount, {"kind": kind})
        waits.add(5)
        waits.add(-2)
        sides.append(read(reader))
        grows.add(1, {"kind": "a"})
        assert read(reader)["grows"][3] == {"a": 5, "b": 2}  # cumulative
    assert sides[0] == sides[1]
    assert sides[0]["waits"][3] == {"None": 3}


def test_no_addition_is_lost_between_threads() -> None:
    reader = InMemoryMetricReader()
    counter = Counter(MeterProvider([reader]).get_meter("test"), "grows", "{x}", "")

    def many() -> None:
        for _ in range(5000):
            counter.add(1, {"kind": "a"})

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(reader)["grows"][3] == {"a": 20_000}
