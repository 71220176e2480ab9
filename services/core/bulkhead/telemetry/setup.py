"""How traces and metrics leave a process: by OTLP to a collector, or to whoever asks `/metrics`.

The settings are OpenTelemetry's own environment variables. Without a collector's address no span
is recorded, but trace ids exist, for logs; metrics stand at `/metrics` for Prometheus.
"""

import logging
import time
from typing import Literal

from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.requests import Request
from starlette.responses import Response

from bulkhead.instance import instance_id
from bulkhead.profiles import runs
from bulkhead.telemetry import names

# What a caller's traceparent says of sampling hides no request.
EVERY_REQUEST = ParentBased(ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON)
_METRICS_SECONDS = 10  # between two exports: as often as Prometheus scrapes


class TelemetrySettings(BaseSettings):
    """OpenTelemetry's standard variables, those that are read here."""

    model_config = SettingsConfigDict(env_prefix="OTEL_", extra="ignore")

    exporter_otlp_endpoint: str | None = Field(
        None,
        description="Collector for traces, as `http://host:4318`; none are recorded without it.",
    )
    metrics_exporter: Literal["prometheus", "otlp", "none"] = Field(
        "prometheus", description="Metrics at `/metrics`, or to the collector, or none."
    )
    instrumentation_genai_capture_message_content: bool = Field(
        False, description="Put questions and answers into spans. They may be confidential."
    )


def configure(app: FastAPI, service: str, settings: TelemetrySettings) -> None:
    """Give this process its providers, and `app` its page `/metrics` where that is chosen.

    To be called once, before it serves. What cannot be exported is dropped: queues are bounded,
    and no request waits for them.
    """
    # The exporter says every failed attempt; once is enough, and `logging` cannot say it once.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    resource = Resource.create(
        {
            "service.name": service,
            "service.namespace": "bulkhead",
            "service.version": app.version,
            names.INSTANCE_ID: instance_id(),
        }
    )
    observed = runs("observability")  # else there is no collector at that address, by choice
    exported = bool(settings.exporter_otlp_endpoint) and observed
    tracers = TracerProvider(resource=resource, sampler=EVERY_REQUEST if exported else ALWAYS_OFF)
    if exported:
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(tracers)
    readers: list[MetricReader] = []
    if settings.metrics_exporter == "otlp" and observed:
        interval = _METRICS_SECONDS * 1000
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter(), interval))
    elif settings.metrics_exporter == "prometheus":
        readers.append(PrometheusMetricReader(scope_info_enabled=False))
        app.add_route("/metrics", _metrics, include_in_schema=False)
    metrics.set_meter_provider(MeterProvider(readers, resource))
    if readers:
        _report_uptime()


def _report_uptime() -> None:
    """Besides its own use, it is always there: the SDK calls no reader where it has nothing."""
    started = time.monotonic()

    def observe(_: CallbackOptions) -> list[Observation]:
        return [Observation(time.monotonic() - started)]

    metrics.get_meter("bulkhead").create_observable_gauge(
        "process.uptime", [observe], "s", "Time since this service started."
    )


def _metrics(_: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
