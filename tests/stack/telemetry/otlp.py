"""OTLP metrics as Prometheus' own receiver of OTLP names them, in Prometheus' text format."""

import re
from collections.abc import Iterator

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric

Labels = tuple[tuple[str, str], ...]
_UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "%": "percent"}


def name(metric: Metric) -> str:
    """With the unit and `total` at its end, as the strategy UnderscoreEscapingWithSuffixes does."""
    words = [word for word in re.split(r"[^a-zA-Z0-9:]+", metric.name) if word]
    unit = _UNITS.get(metric.unit, "" if metric.unit.startswith("{") else metric.unit)
    if metric.unit == "1":
        unit = "ratio" if metric.HasField("gauge") else ""
    endings = [unit, "total" if metric.HasField("sum") and metric.sum.is_monotonic else ""]
    for ending in endings:
        if ending and ending not in words:
            words.append(ending)
    return "_".join(words)


def _value(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    found = getattr(value, kind) if kind else ""
    return str(found).lower() if isinstance(found, bool) else str(found)


def _labels(attributes: Iterator[KeyValue] | list[KeyValue]) -> dict[str, str]:
    return {re.sub(r"[^a-zA-Z0-9_]", "_", one.key): _value(one.value) for one in attributes}


def series(request: ExportMetricsServiceRequest) -> Iterator[tuple[str, Labels, float]]:
    """Every series of a request, with its value; deltas, which nobody here sends, are left out."""
    for one in request.resource_metrics:
        told = {item.key: _value(item.value) for item in one.resource.attributes}
        spaced = [told.get("service.namespace", ""), told["service.name"]]
        whose = {
            "job": "/".join(word for word in spaced if word),
            "instance": told.get("service.instance.id", ""),
        }
        yield "target_info", tuple(whose.items()), 1.0
        for metric in (metric for scope in one.scope_metrics for metric in scope.metrics):
            for suffix, labels, value in _points(metric):
                yield name(metric) + suffix, tuple(sorted((whose | labels).items())), value


def _points(metric: Metric) -> Iterator[tuple[str, dict[str, str], float]]:
    data = getattr(metric, metric.WhichOneof("data") or "gauge")
    if getattr(data, "aggregation_temporality", None) == (
        AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    ):
        return
    for point in data.data_points:
        labels = _labels(point.attributes)
        if not metric.HasField("histogram"):
            yield "", labels, point.as_double or float(point.as_int)
            continue
        below = 0
        bounds = [*(f"{bound:.15g}" for bound in point.explicit_bounds), "+Inf"]
        for bound, count in zip(bounds, point.bucket_counts, strict=True):
            below += count
            yield "_bucket", labels | {"le": bound}, below
        yield "_sum", labels, point.sum
        yield "_count", labels, point.count


def line(name: str, labels: Labels, value: float) -> str:
    """A series as Prometheus reads it."""
    told = (f'{key}="{_escaped(text)}"' for key, text in labels if text)
    return f"{name}{{{','.join(told)}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
