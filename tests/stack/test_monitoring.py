"""What the containers tell of themselves leaves them over their networks, and what vLLM says comes
to Prometheus; one question is one trace."""

import base64
import json
from functools import partial
from typing import Any

import pytest
from compose_stack import Stack
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from promql import PANELS, RECORDED, metrics
from rig import PORTS

QUESTION = "Which port does the retriever listen on?"
MODEL_SERVER = ("vllm:", "gen_ai_server_", "llm:")
"""Metrics, by the beginning of their names, for which the embedded mode has no vLLM."""
SERVICES = {"retriever", "embedding", "quality", "mcp-database"}

# The one container beside Prometheus that has Python is the stand-in for the collector.
ASK = """
import json, sys, urllib.parse, urllib.request
for expr in json.load(sys.stdin):
    body = urllib.parse.urlencode({"query": expr}).encode()
    with urllib.request.urlopen("http://prometheus:9090/api/v1/query", body, timeout=30) as reply:
        print(reply.read().decode())
"""
KEPT = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
SCRAPES = 'count_over_time(up{job="llm"}[1h])'


def queried(stack: Stack, *exprs: str) -> list[list[Any]]:
    """What Prometheus says to each."""
    said = stack.compose(
        "exec", "-T", "otel-collector", "python", "-c", ASK, said=json.dumps(exprs)
    )
    replies = [json.loads(line) for line in said.splitlines()]
    assert [reply["status"] for reply in replies] == ["success"] * len(exprs), replies
    return [reply["data"]["result"] for reply in replies]


def kept(stack: Stack, kind: str) -> list[bytes]:
    """The requests that came to the collector."""
    url = f"http://127.0.0.1:4318/v1/{kind}"
    said = stack.compose("exec", "-T", "otel-collector", "python", "-c", KEPT, url)
    return [base64.b64decode(line) for line in said.split()]


def service(resource: Any) -> str:
    """Whose telemetry it is."""
    (name,) = [one for one in resource.attributes if one.key == "service.name"]
    return str(name.value.string_value)


def spans(stack: Stack, trace_id: str) -> list[tuple[str, Span]]:
    """The spans of a trace, each with its service."""
    requests = [ExportTraceServiceRequest.FromString(body) for body in kept(stack, "traces")]
    return [
        (service(one.resource), span)
        for request in requests
        for one in request.resource_spans
        for scope in one.scope_spans
        for span in scope.spans
        if span.trace_id.hex() == trace_id
    ]


def more_than(stack: Stack, seen: list[list[Any]]) -> bool:
    """Whether vLLM was scraped since."""
    return queried(stack, SCRAPES) != seen


@pytest.fixture(scope="module")
def trace_id(stack: Stack) -> str:
    """The trace of the last of several questions, between which Prometheus scraped."""
    stack.until_ready()
    stack.api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
    last = ""
    for n in range(4):  # a rate needs two scrapes with something between them
        reply = stack.api.ask(f"{QUESTION} ({n})", max_tokens=24)
        assert reply.status_code == 200, reply.text
        last = reply.json()["trace_id"]
        stack.until(partial(more_than, stack, queried(stack, SCRAPES)), 30)
    return last


@pytest.mark.usefixtures("trace_id")
def test_every_service_sends_its_metrics_to_the_collector(stack: Stack) -> None:
    def heard() -> dict[str, set[str]]:
        names: dict[str, set[str]] = {}
        for body in kept(stack, "metrics"):
            for one in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                found = names.setdefault(service(one.resource), set())
                found |= {metric.name for scope in one.scope_metrics for metric in scope.metrics}
        return names

    stack.until(lambda: heard().keys() >= SERVICES, 60)  # they send every ten seconds
    stack.until(lambda: "gen_ai.client.token.usage" in heard()["retriever"], 60)


@pytest.mark.usefixtures("trace_id")
@pytest.mark.parametrize(
    "expr",
    [
        pytest.param(param.values[0], id=param.id)
        for param in (*PANELS, *RECORDED)
        if any(name.startswith(MODEL_SERVER) for name in metrics(str(param.values[0])))
    ],
)
def test_what_panels_and_rules_ask_of_vllm_has_data(stack: Stack, expr: str) -> None:
    stack.until(lambda: bool(queried(stack, expr)[0]), 30)


@pytest.mark.usefixtures("trace_id")
def test_no_rule_fails_and_prometheus_knows_its_alertmanager(stack: Stack) -> None:
    failed, managers, up = queried(
        stack,
        "sum by (rule_group) (prometheus_rule_evaluation_failures_total) > 0",
        "prometheus_notifications_alertmanagers_discovered",
        "up == 1",
    )
    assert failed == []
    assert [one["value"][1] for one in managers] == ["1"]
    assert {one["metric"]["job"] for one in up} >= {"llm", "alertmanager", "prometheus"}


def test_one_question_is_one_trace_across_containers(stack: Stack, trace_id: str) -> None:
    def complete() -> bool:
        found = [(name, span.kind) for name, span in spans(stack, trace_id)]
        server = Span.SPAN_KIND_SERVER
        return {("retriever", server), ("embedding", server)} <= set(found)

    stack.until(complete, 30)
    found = [(name, span.name, span.parent_span_id) for name, span in spans(stack, trace_id)]
    ids = {span.span_id for _, span in spans(stack, trace_id)}
    roots = [(name, what) for name, what, parent in found if not parent]
    assert roots == [("retriever", "POST /v1/chat/completions")]
    assert [one for one in found if one[2] and one[2] not in ids] == []
