"""Every alert fires when it should and not otherwise, by promtool on series made for it."""

import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml
from prometheus_rules import RULES, alerts

from embedded.parts import ROOT
from monitoring.slo import OBJECTIVES, Objective

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="Prometheus' promtool is missing")


@dataclass(frozen=True)
class Case:
    """Series with a sample a minute, and the alerts among `watched` that fire at minute `at`."""

    says: str
    series: dict[str, str]
    fires: set[str]
    watched: set[str] = field(default_factory=set)
    at: int = 60


def check(case: Case, tmp_path: Path) -> None:
    """Let promtool evaluate the rules. It knows alerts as the series `ALERTS`."""
    expected = [
        {
            "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > bool 0',
            "eval_time": f"{case.at}m",
            "exp_samples": [{"labels": "{}", "value": 1}] if name in case.fires else [],
        }
        for name in sorted(case.fires | case.watched)
    ]
    objective = any("slo" in alerts()[name]["labels"] for name in case.fires | case.watched)
    files = [path for path in RULES if objective == (path.name == "slo.yml")]  # half the time
    test = {
        "rule_files": [str(path) for path in files],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values} for name, values in case.series.items()
                ],
                "promql_expr_test": expected,
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def grows(by: float, minutes: int = 120, start: float = 0) -> str:
    """A counter that grows by so much a minute."""
    return f"{start:g}+{by:g}x{minutes}"


def stays(value: float, minutes: int = 120) -> str:
    return f"{value:g}x{minutes}"


# --- objectives -----------------------------------------------------------------------------

_SUPPORT = 'gen_ai_evaluation_name="support",rag_evaluator="lexical-v2",rag_traffic="user"'
_FIRST = "rag_answer_time_to_first_token_seconds"
_GOOD = {
    "availability": 'rag_answers_total{rag_outcome="answered",rag_traffic="user"}',
    "first-token": f'{_FIRST}_bucket{{le="2.56",rag_traffic="user"}}',
    "canary-hit": 'rag_retrieval_canary_total{rag_result="hit"}',
    "supported": f'rag_evaluations_total{{gen_ai_evaluation_score_label="supported",{_SUPPORT}}}',
}
_BAD = {
    "availability": 'rag_answers_total{rag_outcome="error",rag_traffic="user"}',
    "canary-hit": 'rag_retrieval_canary_total{rag_result="miss"}',
    "supported": f'rag_evaluations_total{{gen_ai_evaluation_score_label="unsupported",{_SUPPORT}}}',
}


def events(objective: Objective, good: str, bad: str, all_of_them: str) -> dict[str, str]:
    """The series of an objective's events. A histogram counts all of them, and not the bad."""
    if objective.name == "first-token":
        return {_GOOD["first-token"]: good, f'{_FIRST}_count{{rag_traffic="user"}}': all_of_them}
    return {_GOOD[objective.name]: good, _BAD[objective.name]: bad}


def burning(objective: Objective, share: float) -> dict[str, str]:
    """A hundred events a minute, of which this share is bad."""
    return events(objective, grows(100 - 100 * share), grows(100 * share), grows(100))


def _objective_cases() -> list[Case]:
    cases = []
    for objective in OBJECTIVES:
        fast, slow = objective.alert + "Fast", objective.alert + "Slow"
        name, budget = objective.name, objective.budget
        pages = {fast} & set(alerts())  # a generous budget cannot burn fast
        both = pages | {slow}
        few = objective.least - 2
        # One step at minute 50, as counters that are scraped see a burst: few bad, nothing else.
        burst = f"0x49 {few}x70"
        none = "0x120"
        # All is bad for half an hour, then all is well: the short windows have seen the end.
        ended = events(
            objective,
            f"0x30 {grows(100, 120, 100)}",
            f"{grows(100, 30)} 3000x120",
            grows(100, 150),
        )
        cases += [
            Case(f"{name}: half the budget is spent", burning(objective, budget / 2), set(), both),
            Case(f"{name}: four times too fast", burning(objective, 4 * budget), {slow}, both),
            Case(f"{name}: all is bad", burning(objective, 1), pages | {slow}, both),
            Case(f"{name}: too few to tell", events(objective, none, burst, burst), set(), both),
            Case(f"{name}: nobody asks", events(objective, none, none, none), set(), both),
        ]
        if pages:
            cases.append(Case(f"{name}: it was bad and is over", ended, set(), pages, at=119))
    return cases


# --- everything else ------------------------------------------------------------------------

_DISK = 'system_filesystem_usage_bytes{job="bulkhead/retriever",system_filesystem_state='
_QUEUE = "embedding_queue_duration_seconds"
_QUERY = 'embedding_lane="reading"'
_DOCUMENTS = "rag_ingest_documents_total"
_CANARY = "rag_retrieval_canary_total"
_CLIENT = "mcp_client_operation_duration_seconds_count"
_SERVER = "mcp_server_operation_duration_seconds_count"
_CALL = 'mcp_method_name="tools/call",gen_ai_tool_name="read_file"'
_ENCODER = 'gen_ai_evaluation_name="support",rag_evaluator="encoder"'


def _calls(metric: str, good: float, bad: float) -> dict[str, str]:
    return {
        f"{metric}{{{_CALL}}}": grows(good),
        f'{metric}{{{_CALL},error_type="tool_error"}}': grows(bad),
    }


def _requests(good: float, bad: float) -> dict[str, str]:
    lists = f'{_CLIENT}{{rag_tool_server="database",mcp_method_name="tools/list"'
    return {
        f'{_CLIENT}{{rag_tool_server="database",{_CALL}}}': grows(good),
        f'{lists},error_type="timeout"}}': grows(bad),
    }


def _queue(slow: float, fast: float) -> dict[str, str]:
    bucket = f"{_QUEUE}_bucket{{{_QUERY},le="
    return {
        f'{bucket}"0.32"}}': grows(fast),
        f'{bucket}"2.56"}}': grows(fast + slow),
        f'{bucket}"+Inf"}}': grows(fast + slow),
        f"{_QUEUE}_count{{{_QUERY}}}": grows(fast + slow),
    }


def _judged(early: float, late: float, supported: float = 6) -> dict[str, str]:
    """Answers blamed by the judge a minute, for four hours and then in the last one."""
    of = 'rag_evaluations_total{rag_evaluator="judge",rag_traffic="user",'
    return {
        f'{of}gen_ai_evaluation_score_label="unsupported"}}': (
            f"{grows(early, 235)} {grows(late, 64, early * 235)}"
        ),
        f'{of}gen_ai_evaluation_score_label="supported"}}': grows(supported, 300),
    }


def _scored(at_first: float, then: float) -> dict[str, str]:
    """Ten answers a minute could be scored for five hours; how many were, and in the last one."""
    label = 'gen_ai_evaluation_score_label="supported"'
    return {
        f"rag_evaluation_eligible_total{{{_ENCODER}}}": grows(10, 300),
        f"rag_evaluations_total{{{label},{_ENCODER}}}": (
            f"{grows(at_first, 235)} {grows(then, 64, at_first * 235)}"
        ),
    }


def _pair(name: str, fires: dict[str, str], quiet: dict[str, str], at: int = 60) -> list[Case]:
    return [
        Case(f"{name} fires", fires, {name}, at=at),
        Case(f"{name} is quiet", quiet, set(), {name}, at=at),
    ]


_TARGET = 'target_info{job="bulkhead/retriever",instance="a"}'
CASES = [
    *_objective_cases(),
    *_pair("ServiceSilent", {_TARGET: "1x30 stale"}, {_TARGET: stays(1)}),
    Case(
        "a service that moved",
        {_TARGET: "1x30 stale", _TARGET.replace('"a"', '"b"'): "_x29 1x90"},
        set(),
        {"ServiceSilent"},
    ),
    *_pair("TargetDown", {'up{job="tempo"}': stays(0)}, {'up{job="tempo"}': stays(1)}),
    Case("one missed scrape", {'up{job="tempo"}': "1x59 0x0 1x60"}, set(), {"TargetDown"}),
    *_pair("IndexDown", {'up{job="qdrant"}': stays(0)}, {'up{job="tempo"}': stays(0)}),
    *_pair("IndexRefusesWrites", {"rag_index_refuses": stays(1)}, {"rag_index_refuses": stays(0)}),
    *_pair("ModelServerDown", {'up{job="llm"}': stays(0)}, {'up{job="llm"}': stays(1)}),
    *_pair(
        "PartDegraded",
        {'rag_degraded_total{rag_stage="embedding",rag_traffic="user"}': grows(1)},
        {'rag_degraded_total{rag_stage="embedding",rag_traffic="canary"}': grows(9)},
    ),
    *_pair(
        "DiskAlmostFull",
        {_DISK + '"free"}': stays(5), _DISK + '"used"}': stays(95)},
        {_DISK + '"free"}': stays(15), _DISK + '"used"}': stays(85)},
    ),
    *_pair(
        "ModelQueueing",
        {"vllm:num_requests_waiting": stays(8)},
        {"vllm:num_requests_waiting": "0x57 30x0 0x60"},
    ),
    Case("llama.cpp queues", {"llamacpp:requests_deferred": stays(8)}, {"ModelQueueing"}),
    *_pair(
        "KvCacheFull",
        {"vllm:kv_cache_usage_perc": stays(0.95)},
        {"vllm:kv_cache_usage_perc": "0.95x55 0.5x0 0.95x60"},
    ),
    *_pair(
        "ModelPreempting",
        {"vllm:num_preemptions_total": grows(2)},
        {"vllm:num_preemptions_total": grows(0.5)},
    ),
    *_pair("EmbeddingQueueing", _queue(slow=50, fast=50), _queue(slow=1, fast=99)),
    Case("two slow questions", _queue(slow=0.3, fast=0), set(), {"EmbeddingQueueing"}),
    *_pair(
        "IngestionFailing",
        {
            _DOCUMENTS + '{rag_outcome="failed"}': grows(1),
            _DOCUMENTS + '{rag_outcome="added"}': grows(1),
        },
        {
            _DOCUMENTS + '{rag_outcome="failed"}': grows(1),
            _DOCUMENTS + '{rag_outcome="added"}': grows(9),
        },
    ),
    Case(
        "one bad document",
        {_DOCUMENTS + '{rag_outcome="failed"}': "0x40 1x90"},
        set(),
        {"IngestionFailing"},
    ),
    *_pair(
        "IngestionStuck",
        {"rag_ingest_waiting": stays(3), _DOCUMENTS + '{rag_outcome="added"}': stays(7)},
        {"rag_ingest_waiting": stays(3), _DOCUMENTS + '{rag_outcome="added"}': grows(1)},
    ),
    Case("a job just came", {"rag_ingest_waiting": "0x55 3x90"}, set(), {"IngestionStuck"}),
    *_pair("EvaluationCoverageLow", _scored(8, 1), _scored(8, 8), at=299),
    Case("a sampled evaluator", _scored(1, 1), set(), {"EvaluationCoverageLow"}, at=299),
    Case("an evaluator that died", _scored(8, 0), {"EvaluationCoverageLow"}, at=299),
    *_pair("JudgeBlamesMore", _judged(0.05, 8), _judged(1, 1), at=299),
    Case("few judged answers", _judged(0, 0.2, 0.05), set(), {"JudgeBlamesMore"}, at=299),
    *_pair(
        "CanarySilent",
        {_CANARY + '{rag_result="hit"}': f"{grows(1, 30)} 30x90"},
        {_CANARY + '{rag_result="hit"}': grows(1)},
    ),
    Case("no prober at all", {"up": stays(1)}, set(), {"CanarySilent"}),
    *_pair(
        "CanaryNotDeclined",
        {
            _CANARY + '{rag_result="not_declined"}': grows(1),
            _CANARY + '{rag_result="declined"}': grows(1),
        },
        {
            _CANARY + '{rag_result="not_declined"}': grows(1),
            _CANARY + '{rag_result="declined"}': grows(9),
        },
    ),
    *_pair(
        "CanaryFailing",
        {_CANARY + '{rag_result="error"}': grows(1)},
        {_CANARY + '{rag_result="error"}': grows(1), _CANARY + '{rag_result="hit"}': grows(2)},
    ),
    *_pair("ToolServerFailing", _requests(7, 3), _requests(9, 1)),
    Case("a tool server that was never there", _requests(0, 1), {"ToolServerFailing"}),
    Case("two requests failed", _requests(0, 0.1), set(), {"ToolServerFailing"}),
    *_pair("ToolErrors", _calls(_SERVER, 3, 7), _calls(_SERVER, 7, 3)),
    *_pair(
        "CollectorRefusing",
        {
            "otelcol_receiver_refused_spans_total": grows(1),
            "otelcol_receiver_refused_metric_points_total": grows(1),
        },
        {"otelcol_receiver_refused_spans_total": stays(9)},
    ),
    Case(
        "the collector's older name",
        {"otelcol_receiver_refused_metric_points": grows(1)},
        {"CollectorRefusing"},
    ),
    *_pair(
        "CollectorDropping",
        {
            'otelcol_exporter_enqueue_failed_spans{exporter="otlp_http/tempo"}': grows(1),
            'otelcol_exporter_send_failed_spans{exporter="otlp_http/tempo"}': grows(1),
        },
        {'otelcol_exporter_sent_spans{exporter="otlp_http/tempo"}': grows(1)},
    ),
    *_pair(
        "CollectorQueueFull",
        {
            'otelcol_exporter_queue_size{exporter="a"}': stays(90),
            'otelcol_exporter_queue_capacity{exporter="a"}': stays(100),
        },
        {
            'otelcol_exporter_queue_size{exporter="a"}': stays(9),
            'otelcol_exporter_queue_capacity{exporter="a"}': stays(100),
        },
    ),
    *_pair(
        "PrometheusFailing",
        {
            "prometheus_notifications_dropped_total": grows(1),
            "prometheus_notifications_alertmanagers_discovered": stays(1),
            "prometheus_rule_evaluation_failures_total": grows(1),
        },
        {"prometheus_notifications_sent_total": grows(1)},
    ),
    Case(
        "no Alertmanager is there to be told",
        {
            "prometheus_notifications_dropped_total": grows(1),
            "prometheus_notifications_alertmanagers_discovered": stays(0),
        },
        set(),
        {"PrometheusFailing"},
    ),
]


@needs_promtool
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_an_alert_fires_when_it_should_and_not_otherwise(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def spread(series: dict[str, str]) -> dict[str, str]:
    """Our own series as two replicas count them: what belongs together, each a part of it."""
    told = {}
    for n, (name, values) in enumerate(series.items()):
        metric, _, labels = name.partition("{")
        if metric.startswith(("rag_", "gen_ai_client_", "embedding_", "mcp_")):
            name = f'{metric}{{instance="{"ab"[n % 2]}",{labels or "}"}'
        told[name] = values
    return told


@needs_promtool
def test_it_fires_and_stays_quiet_the_same_whichever_replica_counted(tmp_path: Path) -> None:
    spreads = [(case, spread(case.series)) for case in CASES]
    several = [(case, series) for case, series in spreads if len(series.keys() - case.series) > 1]
    assert len(several) > 10
    for case, series in several:
        check(replace(case, series=series), tmp_path)


def test_every_alert_is_tried_firing_and_quiet() -> None:
    assert {name for case in CASES for name in case.fires} == set(alerts())
    assert {name for case in CASES for name in case.watched - case.fires} >= set(alerts())


def test_every_alert_says_what_is_wrong_and_where_its_runbook_is() -> None:
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in {"page", "ticket"}, name
        assert {"summary", "description", "runbook"} == set(rule["annotations"]), name


@pytest.mark.parametrize("name", alerts())
def test_the_runbook_of_an_alert_exists(name: str) -> None:
    page, _, anchor = alerts()[name]["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {heading.lower() for heading in headings}


@needs_promtool
def test_the_rule_files_are_valid() -> None:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "check", "rules", *map(str, RULES)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
