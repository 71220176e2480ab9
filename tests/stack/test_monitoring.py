"""What the containers tell of themselves comes to Prometheus and Tempo over their networks, what
the model server says comes to Prometheus, and one question is one trace."""

import contextlib
from functools import partial
from typing import Any

import pytest
from compose_stack import Asked, Stack, queried
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData
from promql import PANELS, RECORDED, metrics
from rig import PORTS

QUESTION = "Which port does the retriever listen on?"
SERVICES = {f"bulkhead/{one}" for one in ("retriever", "embedding", "quality", "mcp-database")}
TOKENS = 'gen_ai_client_token_usage_count{job="bulkhead/retriever"}'

SCRAPES = 'count_over_time(up{job="llm"}[1h])'
ROUNDS, A_ROUND = 6, 10
"""The collector keeps a fifth of the traces: none of sixty once in 600,000 times."""
PROTOBUF = {"Accept": "application/protobuf"}


def service(resource: Any) -> str:
    """Whose telemetry it is."""
    (name,) = [one for one in resource.attributes if one.key == "service.name"]
    return str(name.value.string_value)


def traces(stack: Stack, *trace_ids: str) -> list[list[tuple[str, Span]]]:
    """The spans of those traces that Tempo has, each with its service."""
    asked = (Asked(f"http://tempo:3200/api/traces/{one}", headers=PROTOBUF) for one in trace_ids)
    return [
        [
            (service(one.resource), span)
            for one in TracesData.FromString(answer.body).resource_spans
            for scope in one.scope_spans
            for span in scope.spans
            if span.trace_id.hex() == trace_id  # the stand-in gives what came along, too
        ]
        for trace_id, answer in zip(trace_ids, stack.ask("prometheus", *asked), strict=True)
        if answer.status == 200
    ]


def more_than(stack: Stack, seen: list[list[Any]]) -> bool:
    """Whether the model server was scraped since."""
    return queried(stack, SCRAPES) != seen


@pytest.fixture(scope="module")
def questions(stack: Stack) -> None:
    """Several questions, between which Prometheus scraped the model server."""
    stack.until_ready()
    stack.api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
    for n in range(4):  # a rate needs two scrapes with something between them
        reply = stack.api.ask(f"{QUESTION} ({n})", max_tokens=24)
        assert reply.status_code == 200, reply.text
        stack.until(partial(more_than, stack, queried(stack, SCRAPES)), 300)


@pytest.mark.usefixtures("questions")
def test_every_service_sends_its_metrics_by_the_collector_to_prometheus(stack: Stack) -> None:
    def heard() -> bool:
        told, tokens = queried(stack, 'target_info{job=~"bulkhead/.+"}', TOKENS)
        return bool(tokens) and {one["metric"]["job"] for one in told} >= SERVICES

    stack.until(heard, 300)  # they send every ten seconds


@pytest.mark.usefixtures("questions")
@pytest.mark.parametrize(
    "expr",
    [
        pytest.param(param.values[0], id=param.id)
        for param in (*PANELS, *RECORDED)
        if any(name.startswith("llm:") for name in metrics(str(param.values[0])))
    ],
)
def test_what_panels_ask_of_any_model_server_has_data(stack: Stack, expr: str) -> None:
    stack.until(lambda: bool(queried(stack, expr)[0]), 300)


@pytest.mark.usefixtures("questions")
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


def is_whole(trace: list[tuple[str, Span]]) -> bool:
    """Whether both services' spans are there, each below one that is there, too."""
    servers = {name for name, span in trace if span.kind == Span.SPAN_KIND_SERVER}
    parents = {span.parent_span_id for _, span in trace} - {b""}
    return {"retriever", "embedding"} <= servers and parents <= {s.span_id for _, s in trace}


def test_one_question_is_one_trace_across_containers(stack: Stack) -> None:
    stack.until_ready()
    ids: list[str] = []

    def whole() -> list[list[tuple[str, Span]]]:
        return [one for one in traces(stack, *ids) if is_whole(one)]

    for n in range(ROUNDS):
        for k in range(A_ROUND):
            reply = stack.api.ask(f"{QUESTION} ({n}, {k})", max_tokens=1)
            assert reply.status_code == 200, reply.text
            ids.append(reply.json()["trace_id"])
        with contextlib.suppress(AssertionError):
            stack.until(lambda: bool(whole()), 60)  # the collector decides after half a minute
            break
    (found, *_) = whole()
    outermost = [(name, span.name) for name, span in found if not span.parent_span_id]
    assert outermost == [("retriever", "POST /v1/chat/completions")]
