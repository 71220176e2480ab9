"""What the containers tell of themselves comes through their networks to Prometheus, vLLM's own
metrics too; and one question is one trace."""

import base64
import json
from typing import Any

import pytest
from compose_stack import Stack
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from promql import PANELS, RECORDED, metrics
from rig import PORTS

QUESTION = "Which port does the retriever listen on?"
MODEL_SERVER = ("vllm:", "gen_ai_server_", "llm:")
"""Metrics, by the beginning of their names, that the embedded mode has no vLLM for."""
SERVICES = {"retriever", "embedding", "quality", "mcp-database"}

ASK = """
import json, sys, urllib.parse, urllib.request
for expr in json.load(sys.stdin):
    body = urllib.parse.urlencode({"query": expr}).encode()
    print(urllib.request.urlopen("http://prometheus:9090/api/v1/query", body, timeout=30).read().decode())
"""  # noqa: E501 - a program
TRACES = (
    "import urllib.request as r; print(r.urlopen('http://127.0.0.1:4318/traces').read().decode())"
)


def queried(stack: Stack, *exprs: str) -> list[list[Any]]:
    """What Prometheus says to each; asked from the one container beside it that has Python."""
    said = stack.compose(
        "exec", "-T", "otel-collector", "python", "-c", ASK, said=json.dumps(exprs)
    )
    replies = [json.loads(line) for line in said.splitlines()]
    assert [reply["status"] for reply in replies] == ["success"] * len(exprs), replies
    return [reply["data"]["result"] for reply in replies]


@pytest.fixture(scope="module")
def asked(stack: Stack) -> str:
    """The stack after questions over half a minute; the id of the last one's trace."""
    stack.until_ready()
    stack.api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
    trace_id = ""
    for n in range(6):  # rates need two scrapes with something between them
        reply = stack.api.ask(f"{QUESTION} ({n})", max_tokens=24)
        assert reply.status_code == 200, reply.text
        trace_id = reply.json()["trace_id"]
        scrapes = 'sum(scrape_samples_scraped{job="llm"}) * 0 + count_over_time(up{job="llm"}[1h])'
        (before,) = queried(stack, scrapes)

        def scraped_again(before: list[Any] = before, scrapes: str = scrapes) -> bool:
            return queried(stack, scrapes) != [before]

        stack.until(scraped_again, 30)
    return trace_id


def test_every_service_is_heard_and_every_target_that_runs_is_up(stack: Stack, asked: str) -> None:
    heard, up = queried(stack, "count by (job) (target_info)", "up == 1")
    assert {one["metric"]["job"] for one in heard} >= {f"bulkhead/{name}" for name in SERVICES}
    assert {one["metric"]["job"] for one in up} >= {"llm", "alertmanager", "prometheus"}


@pytest.mark.parametrize(
    ("expr", "legend"),
    [
        param
        for param in (*PANELS, *RECORDED)
        if any(name.startswith(MODEL_SERVER) for name in metrics(str(param.values[0])))
    ],
)
def test_what_panels_and_rules_ask_of_vllm_has_data(
    stack: Stack, asked: str, expr: str, legend: str
) -> None:
    stack.until(lambda: bool(queried(stack, expr)[0]), 30)


def test_no_rule_fails_and_prometheus_knows_its_alertmanager(stack: Stack, asked: str) -> None:
    failed, managers = queried(
        stack,
        "sum by (rule_group) (prometheus_rule_evaluation_failures_total) > 0",
        "prometheus_notifications_alertmanagers_discovered",
    )
    assert failed == []
    assert [one["value"][1] for one in managers] == ["1"]


def test_one_question_is_one_trace_across_containers(stack: Stack, asked: str) -> None:
    def spans() -> list[tuple[str, Any]]:
        kept = stack.compose("exec", "-T", "otel-collector", "python", "-c", TRACES).split()
        return [
            (
                next(
                    one.value.string_value
                    for one in resource.resource.attributes
                    if one.key == "service.name"
                ),
                span,
            )
            for body in kept
            for resource in ExportTraceServiceRequest.FromString(
                base64.b64decode(body)
            ).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if span.trace_id.hex() == asked
        ]

    stack.until(lambda: {name for name, _ in spans()} >= {"retriever", "embedding"}, 30)
    stack.until(lambda: any(not span.parent_span_id for _, span in spans()), 30)
    ids = {span.span_id for _, span in spans()}
    parents = [(name, span.name, span.parent_span_id) for name, span in spans()]
    roots = [(name, what) for name, what, parent in parents if not parent]
    assert roots == [("retriever", "POST /v1/chat/completions")]
    assert [one for one in parents if one[2] and one[2] not in ids] == []
