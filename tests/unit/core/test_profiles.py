"""What a person left out is not there; where nobody chose, all is."""

import pytest
from fastapi import FastAPI
from opentelemetry import metrics, trace

from bulkhead.profiles import VARIABLE, left_out, runs
from bulkhead.telemetry import setup
from example_documents.settings import ExamplesSettings
from retriever.settings import RetrieverSettings


def test_profiles_say_what_runs_and_without_them_all_does() -> None:
    for told, wanted in (
        ("", []),
        ("cpu", ["tools", "observability", "quality"]),
        ("cpu, tools ,quality", ["observability"]),
        ("gpu,tools,observability,quality", []),
        ("*", []),
    ):
        assert left_out({VARIABLE: told}) == wanted
    assert runs("tools", {}) and not runs("tools", {VARIABLE: "cpu"})


def test_what_is_left_out_is_not_asked_wherever_it_would_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {
        "tool_servers_file": "/nowhere/tool-servers.yaml",
        "quality_url": "http://quality:8082",
        "grafana_url": "http://127.0.0.1:3000",
    }
    whole = RetrieverSettings.model_validate(told)
    assert whole.tool_servers_file and whole.quality_url and whole.grafana_url
    monkeypatch.setenv(VARIABLE, "cpu,quality")
    some = RetrieverSettings.model_validate(told)
    assert some.quality_url and not some.tool_servers_file and not some.grafana_url


def test_without_observability_nothing_is_exported_whatever_address_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []
    for name in ("OTLPSpanExporter", "OTLPMetricExporter", "BatchSpanProcessor"):
        monkeypatch.setattr(setup, name, lambda *_, name=name: made.append(name))
    monkeypatch.setattr(trace, "set_tracer_provider", lambda _: None)
    monkeypatch.setattr(metrics, "set_meter_provider", lambda _: None)
    monkeypatch.setenv(VARIABLE, "cpu,tools")
    settings = setup.TelemetrySettings.model_validate(
        {"exporter_otlp_endpoint": "http://otel-collector:4318", "metrics_exporter": "otlp"}
    )
    setup.configure(FastAPI(), "retriever", settings)
    assert made == []


def test_the_examples_tell_of_grafana_only_where_it_runs() -> None:
    told = {"folder": ".", "api_key_file": "k", "retriever_url": "http://r", "page_url": "http://p"}
    told |= {"grafana_url": "http://g"}
    for profiles, wanted in (("", True), ("cpu,observability", True), ("*", True), ("cpu", False)):
        assert ExamplesSettings.model_validate(told | {"profiles": profiles}).observed() is wanted
