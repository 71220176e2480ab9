"""Telemetry, from the real processes through a real Prometheus: what panels, rules and alerts ask
for is there, one question is one trace, and nothing that was written is in what leaves."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_receiver import Received, receiving
from prometheus_rules import RULES, alerts
from promql import PANELS, RECORDED, metrics
from rig import KEY, PORTS, SOUP, Api
from serving import free_port, serving
from stack_processes import environment, running, state
from state_folder import state_folder
from tool_caller import calling, tool_caller

from embedded import tools
from embedded.parts import Part, parts
from embedded.prometheus import prometheus
from embedded.quality import quality
from monitoring.boards import BOARDS
from monitoring.panels import Variable

pytestmark = [
    pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed"),
    pytest.mark.timeout(300),
]

QUESTION = "Which port does the retriever listen on?"

ABSENT = {
    "vllm:": "vLLM's metrics; the embedded mode runs llama.cpp",
    "gen_ai_server_": "made of vLLM's histograms; llama.cpp has none",
    "otelcol_": "the collector's metrics; the embedded mode has no collector",
    "grpc_responses_": "Qdrant's metrics; the embedded mode has no Qdrant server",
    "collection_points": "Qdrant's metrics; the embedded mode has no Qdrant server",
    "rag_limits_alone": "counts while Valkey is away; the embedded mode has none",
}
"""Metrics, by the beginning of their names, that have no source here, and why."""

SERVICES = "SELECT name, port FROM harbour.services WHERE name = $1"
NAMED = "harbour-portal"
TOOL_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("database__query", {"sql": SERVICES, "parameters": [NAMED]}),
    ("filesystem__list_directory", {"path": "docs"}),
    ("database__query", {"sql": "DROP TABLE harbour.services"}),  # the gate refuses
    ("database__query", {"sql": f"{SERVICES} LIMIT 1", "parameters": [NAMED]}),
]
CANARIES = {
    "retrieval": [
        {"question": "What is the port?", "source": "ports.md", "text": "listens on port 8080"}
    ],
    "declined": ["How many moons does Neptune have?"],
}


def absent(expr: str) -> list[str]:
    """Why an expression has no data here: the metrics in it that have no source."""
    return [name for name in metrics(expr) if name.startswith(tuple(ABSENT))]


@dataclass
class Observed:
    """The stack after traffic, with Prometheus and the receiver of traces beside it."""

    api: Api
    received: Received
    prometheus: str
    pages: list[str]
    trace_id: str
    tools_trace_id: str

    def query(self, expr: str) -> list[Any]:
        return query(self.prometheus, expr)


def scraped(services: list[Part]) -> list[Part]:
    """Those that have `/metrics`: all but PostgreSQL."""
    return [part for part in services if part.health]


def hurried(config: Path, folder: Path) -> None:
    """Let Prometheus scrape and evaluate every second."""
    told = yaml.safe_load(config.read_text())
    told["global"] = dict.fromkeys(told["global"], "1s")
    told["rule_files"] = []
    for path in RULES:
        groups = yaml.safe_load(path.read_text())
        for group in groups["groups"]:
            group["interval"] = "1s"
        copy = folder / path.name
        copy.write_text(yaml.safe_dump(groups))
        told["rule_files"].append(str(copy))
    config.write_text(yaml.safe_dump(told))


@contextmanager
def hanging(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """A process that answers nobody, until the block ends."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def query(prometheus: str, expr: str) -> list[Any]:
    """What Prometheus answers."""
    reply = httpx2.post(f"{prometheus}/api/v1/query", data={"query": expr}, timeout=60).json()
    assert reply["status"] == "success", f"{expr}: {reply}"
    result: list[Any] = reply["data"]["result"]
    return result


def await_scrape(prometheus: str) -> None:
    """Until each target has been asked once more."""
    now = time.time()

    def asked() -> bool:
        (oldest,) = query(prometheus, "min(timestamp(up))") or [{"value": [0, 0]}]
        return float(oldest["value"][1]) > now

    assert until(asked)


def drive(
    api: Api, processes: dict[str, "subprocess.Popen[bytes]"], prometheus: str
) -> tuple[str, str]:
    """Traffic of every kind that the stack knows, over a few scrapes.

    Gives the ids of two traces: of a question, and of one that was answered with tools.
    """
    job = api.ingest(
        {"text": PORTS, "title": "Ports", "source": "ports.md"},
        {"text": SOUP, "title": "Canteen", "source": "canteen.txt"},
    )
    assert job["counts"]["added"] == 2
    trace_id = tools_trace_id = ""
    for n in range(4):  # series must grow between two scrapes to have a rate
        added, failed = {"text": f"Berth {n} is free.", "source": f"berth {n}"}, {"text": " "}
        assert api.ingest(added, failed)["counts"]["failed"] == 1
        # Asked in other words each time: an embedding that is known makes no span.
        answer = api.ask(f"{QUESTION} ({n})", max_tokens=24).json()
        trace_id = answer["trace_id"]
        assert api.ask("Zebra quantum xylophone marzipan?").status_code == 200
        vote = {"response_id": answer["id"], "vote": "up"}
        assert api.post("/v1/feedback", json=vote).status_code < 300
        with hanging(processes["embedding"]):  # search goes on by words alone
            assert api.post("/v1/search", json={"query": "soup"}).json()["degraded"]
        answer = api.ask(f"{QUESTION} [{n}]", rag={"tools": True}).json()
        outcomes = [step["outcome"] for step in answer["steps"]]
        told = [(step["outcome"], step["detail"]) for step in answer["steps"]]
        assert outcomes == ["done", "done", "failed", "done"], told
        tools_trace_id = answer["trace_id"]
        if n % 2:
            with hanging(processes["mcp-filesystem"]):
                answer = api.ask(QUESTION, rag={"tools": True}).json()
            assert answer["retrieval"]["degraded"] == ["mcp-filesystem"]
        for _ in range(4):
            httpx2.get(
                f"{api.base_url}/v1/models",
                headers={"Authorization": "Bearer bh_unknown"},
                timeout=60,
            )
        await_scrape(prometheus)
    return trace_id, tools_trace_id


@pytest.fixture(scope="module")
def observed() -> Iterator[Observed]:
    with ExitStack() as exits:
        folder = exits.enter_context(state_folder())
        received = exits.enter_context(receiving())
        kept = state(folder)
        canaries = folder / "canaries.json"
        canaries.write_text(json.dumps(CANARIES))
        llm = calling(TOOL_CALLS, "The retriever listens on port 8080.")
        real = f"http://127.0.0.1:{free_port()}"
        told = environment(
            LLM_PORT=real.rpartition(":")[2],
            OTEL_EXPORTER_OTLP_ENDPOINT=received.url,
            OTEL_BSP_SCHEDULE_DELAY="200",
            RETRIEVER_REFUSALS_PER_MINUTE="2",
            RETRIEVER_QUERY_EMBEDDING_TIMEOUT="1",
            QUALITY_CANARIES=str(canaries),
            QUALITY_CANARY_SECONDS="1",
        )
        tools.prepare(kept, told)
        services = [*parts(kept, told), quality(kept, told)]
        caller = exits.enter_context(serving(tool_caller(llm, real)))
        by_name = {part.name: part for part in services}
        by_name["retriever"] = replace(
            by_name["retriever"],
            environment={**by_name["retriever"].environment, "RETRIEVER_LLM_URL": f"{caller}/v1"},
        )
        watcher = prometheus(kept, services, told)
        assert watcher is not None
        hurried(kept.folder / "prometheus/prometheus.yml", folder)
        processes = exits.enter_context(running(kept, [*by_name.values(), watcher]))
        key = {"Authorization": f"Bearer {KEY}"}
        url = by_name["retriever"].url
        api = exits.enter_context(Api(base_url=url, headers=key, timeout=60))
        ids = drive(api, processes, watcher.url)
        pages = [
            httpx2.get(f"{part.url}/metrics", headers=part.headers(), timeout=60).text
            for part in scraped(services)
        ]
        yield Observed(api, received, watcher.url, pages, *ids)


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether `condition` comes to hold: Prometheus scrapes and evaluates by the clock."""
    deadline = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return held


@pytest.mark.parametrize(("expr", "legend"), [*PANELS, *RECORDED])
def test_a_panel_or_recording_rule_has_data(observed: Observed, expr: str, legend: str) -> None:
    """And the data has the labels that the legend names, if not an error's kind or a bare zero."""
    labels = set(re.findall(r"{{(\w+)}}", legend)) - {"error_type"}
    labels = set() if "vector(0)" in expr else labels

    def found() -> bool:
        return any(labels <= series["metric"].keys() for series in observed.query(expr))

    assert until(found, 0 if absent(expr) else 10) or absent(expr), expr


@pytest.mark.parametrize(
    "variable",
    [
        pytest.param(variable, id=f"{board.uid}: {variable.name}")
        for board in BOARDS
        for variable in board.variables
    ],
)
def test_a_variable_has_values_to_choose_from(observed: Observed, variable: Variable) -> None:
    assert absent(variable.metric) or observed.query(
        f'count by ({variable.label}) ({variable.metric}{{{variable.label}!=""}})'
    )


@pytest.mark.parametrize("name", alerts())
def test_an_alert_reads_metrics_that_exist(observed: Observed, name: str) -> None:
    expr = alerts()[name]["expr"]
    observed.query(expr)
    missing = [metric for metric in metrics(expr) if not observed.query(f"count({metric})")]
    assert [metric for metric in missing if not metric.startswith(tuple(ABSENT))] == []


def test_what_is_called_absent_is_absent(observed: Observed) -> None:
    for prefix, why in ABSENT.items():
        found = observed.query(f'count by (__name__) ({{__name__=~"{prefix}.*"}})')
        assert found == [], f"{prefix} has a source: {why} is no longer true"


def test_no_rule_fails_and_no_alert_fires_on_a_stack_that_works(observed: Observed) -> None:
    assert until(lambda: bool(observed.query("sum(prometheus_rule_evaluations_total) > 100")))
    failed = "sum by (rule_group) (prometheus_rule_evaluation_failures_total) > 0"
    assert observed.query(failed) == []
    # What `drive` makes fail stays below every alert's share or number, however long it takes.
    assert observed.query('ALERTS{alertstate="firing"}') == []


def one_tree(spans: list[tuple[str, Span]]) -> set[tuple[str, str, int]]:
    """That a trace has one root and no orphan; its spans by service, kind of work and kind."""
    roots = [(service, span.name) for service, span in spans if not span.parent_span_id]
    assert roots == [("retriever", "POST /v1/chat/completions")]
    ids = {span.span_id for _, span in spans}
    orphans = [
        span.name for _, span in spans if span.parent_span_id and span.parent_span_id not in ids
    ]
    assert orphans == []
    return {(service, span.name.split(" ")[0], span.kind) for service, span in spans}


def test_one_question_is_one_trace_across_processes_without_orphans(observed: Observed) -> None:
    found = one_tree(observed.received.trace(observed.trace_id, {"retriever", "embedding"}))
    assert found >= {
        ("retriever", "POST", Span.SPAN_KIND_SERVER),
        ("retriever", "retrieval", Span.SPAN_KIND_CLIENT),
        ("retriever", "embeddings", Span.SPAN_KIND_CLIENT),
        ("retriever", "chat", Span.SPAN_KIND_CLIENT),
        ("embedding", "POST", Span.SPAN_KIND_SERVER),
    }


def test_the_trace_goes_on_through_a_tool_server_to_its_sql(observed: Observed) -> None:
    services = {"retriever", "embedding", "mcp-database", "mcp-filesystem"}
    spans = observed.received.trace(observed.tools_trace_id, services)
    found = one_tree(spans)
    assert found >= {
        ("retriever", "execute_tool", Span.SPAN_KIND_INTERNAL),
        ("retriever", "MCP", Span.SPAN_KIND_CLIENT),  # the SDK's
        ("mcp-filesystem", "tools/call", Span.SPAN_KIND_SERVER),
        ("mcp-database", "tools/call", Span.SPAN_KIND_SERVER),
        ("mcp-database", "SELECT", Span.SPAN_KIND_CLIENT),
    }
    by_id = {span.span_id: (service, span) for service, span in spans}
    sql, *_ = [span for _, span in spans if span.name == "SELECT harbour"]
    way = []
    while sql.parent_span_id:
        service, sql = by_id[sql.parent_span_id]
        way.append((service, sql.name))
    assert way[0] == ("mcp-database", "tools/call query")
    assert way[-1] == ("retriever", "POST /v1/chat/completions")


def test_nothing_that_was_written_is_in_what_leaves(observed: Observed) -> None:
    observed.received.trace(observed.trace_id, {"retriever", "embedding"})
    told = observed.received.raw() + "\n".join(observed.pages).encode()
    assert b"POST /v1/chat/completions" in told and b"rag_answers_total" in told
    written = ("lentil", "Canteen", "canteen.txt", "marzipan", "xylophone", "listen on", "moons")
    for secret in (KEY, *written, NAMED, "harbour.services"):
        assert secret.encode() not in told, secret
