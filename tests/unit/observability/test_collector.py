"""The collector's configuration holds together. It is not run here: this reads its structure."""

import re
from itertools import chain
from typing import Any

import pytest
import yaml

from monitoring.generate import OBSERVABILITY

CONFIG: dict[str, Any] = yaml.safe_load((OBSERVABILITY / "otel-collector/config.yaml").read_text())
PIPELINES: dict[str, dict[str, list[str]]] = CONFIG["service"]["pipelines"]


@pytest.mark.parametrize("kind", ["receivers", "processors", "exporters"])
def test_every_component_that_is_used_is_defined_and_the_reverse(kind: str) -> None:
    used = set(chain.from_iterable(pipeline[kind] for pipeline in PIPELINES.values()))
    assert used == set(CONFIG[kind])


def test_every_extension_that_is_used_is_defined_and_the_reverse() -> None:
    assert set(CONFIG["service"]["extensions"]) == set(CONFIG["extensions"])


def test_memory_is_limited_before_anything_else_and_text_is_redacted_next() -> None:
    for pipeline in PIPELINES.values():
        assert pipeline["processors"][:2] == ["memory_limiter", "redaction"]
        assert pipeline["processors"][-1] == "batch"


def test_what_cannot_be_sent_waits_in_a_bounded_queue_for_a_bounded_time() -> None:
    for name, exporter in CONFIG["exporters"].items():
        queue, retry = exporter["sending_queue"], exporter["retry_on_failure"]
        assert queue["enabled"] and 0 < queue["queue_size"] <= 1000, name
        assert retry["enabled"] and 0 < float(retry["max_elapsed_time"].rstrip("s")) <= 600, name
        assert exporter["timeout"], name


def test_errors_and_slow_requests_are_kept_and_a_share_of_the_rest() -> None:
    policies = {
        policy["type"]: policy for policy in CONFIG["processors"]["tail_sampling"]["policies"]
    }
    assert policies["status_code"]["status_code"] == {"status_codes": ["ERROR"]}
    assert policies["latency"]["latency"]["threshold_ms"] == 5000
    assert 0 < policies["probabilistic"]["probabilistic"]["sampling_percentage"] < 100
    assert all(policy["type"] in policy for policy in policies.values())


def test_the_collectors_own_metrics_are_where_prometheus_asks() -> None:
    reader = CONFIG["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]
    prometheus = yaml.safe_load((OBSERVABILITY / "prometheus/prometheus.yml").read_text())
    targets = {
        one["job_name"]: one["static_configs"][0]["targets"] for one in prometheus["scrape_configs"]
    }
    assert targets["otel-collector"] == [f"otel-collector:{reader['prometheus']['port']}"]


@pytest.mark.parametrize(
    "secret",
    [
        "bh_0123456789abcdefghij",
        "Authorization: Bearer abcdefgh12345",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
        "postgresql://reader:hunter2@postgres/sales",
    ],
)
def test_a_secret_as_a_value_is_masked(secret: str) -> None:
    assert any(
        re.search(one, secret) for one in CONFIG["processors"]["redaction"]["blocked_values"]
    )


@pytest.mark.parametrize(
    "value",
    [
        "POST /v1/chat/completions",
        "qwen2.5-coder-0.5b-instruct",
        "http://llm:8000/v1",
        "lexical-v2",
    ],
)
def test_an_ordinary_value_is_left_alone(value: str) -> None:
    patterns = CONFIG["processors"]["redaction"]["blocked_values"]
    assert not any(re.search(one, value) for one in patterns)


def test_the_keys_that_hold_text_or_secrets_are_masked_and_token_counts_are_not() -> None:
    patterns = CONFIG["processors"]["redaction"]["blocked_key_patterns"]
    masked = ("gen_ai.input.messages", "gen_ai.tool.call.arguments", "http.request.header.cookie")
    for key in masked:
        assert any(re.search(one, key) for one in patterns), key
    for key in ("gen_ai.usage.input_tokens", "gen_ai.token.type", "gen_ai.request.model"):
        assert not any(re.search(one, key) for one in patterns), key
