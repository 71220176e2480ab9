"""What grows and shrinks, and that the model's queries find its load in a real Prometheus."""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from chart_objects import NAMESPACE, PRODUCTION, of_kind, pods
from serving import free_port

# As vLLM writes them, with series beside those that are asked for.
VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-4B-Instruct-2507"} 12.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="Qwen/Qwen3-4B-Instruct-2507"} %s
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="Qwen/Qwen3-4B-Instruct-2507"} %s
"""


def triggers() -> dict[str, dict[str, Any]]:
    (scaled,) = of_kind("ScaledObject", PRODUCTION).values()
    return {one["name"]: one for one in scaled["spec"]["triggers"]}


class _Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        waiting, cache = {"/one": (3.0, 0.5), "/two": (8.0, 0.9), "/other": (90.0, 1.0)}[self.path]
        body = (VLLM % (waiting, cache)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], list[Any]]]:
    """A Prometheus that scrapes two model servers of ours and one of another namespace."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not installed")
    folder = tmp_path_factory.mktemp("prometheus")
    models = ThreadingHTTPServer(("127.0.0.1", 0), _Metrics)
    Thread(target=models.serve_forever, daemon=True).start()
    jobs = [
        {
            "job_name": path,
            "metrics_path": f"/{path}",
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "static_configs": [
                {
                    "targets": [f"127.0.0.1:{models.server_port}"],
                    "labels": {"namespace": "other" if path == "other" else NAMESPACE},
                }
            ],
        }
        for path in ("one", "two", "other")
    ]
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": jobs}))
    port = free_port()
    process = subprocess.Popen(
        [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
    )

    def query(text: str) -> list[Any]:
        told = urllib.parse.urlencode({"query": text})
        url = f"http://127.0.0.1:{port}/api/v1/query?{told}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return list(json.load(answer)["data"]["result"])

    try:
        deadline = time.monotonic() + 120
        while True:
            with suppress(OSError):
                if len(query("vllm:num_requests_waiting")) == 3:
                    break
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        yield query
    finally:
        process.terminate()
        process.wait(60)
        models.shutdown()
        models.server_close()


def test_the_models_queries_give_one_number_of_our_servers_alone(
    ask: Callable[[str], list[Any]],
) -> None:
    found = triggers()
    (waiting,) = ask(found["waiting"]["metadata"]["query"])
    assert float(waiting["value"][1]) == 3 + 8
    (cache,) = ask(found["cache"]["metadata"]["query"])
    assert float(cache["value"][1]) == pytest.approx(100 * (0.5 + 0.9) / 2)
    # Nobody there is no answer at all, which KEDA then takes for a failure and keeps what runs.
    gone = found["waiting"]["metadata"]["query"].replace(NAMESPACE, "nowhere")
    assert ask(gone) == []


def test_the_model_never_goes_to_none_and_stays_where_its_metrics_are_lost() -> None:
    (scaled,) = of_kind("ScaledObject", PRODUCTION).values()
    spec = scaled["spec"]
    assert spec["minReplicaCount"] >= 1
    assert spec["fallback"]["replicas"] >= 1
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert "idleReplicaCount" not in spec
    for one in triggers().values():
        assert one["metadata"]["ignoreNullValues"] == "false"
        assert one["metadata"]["serverAddress"].startswith("http")
    # A server that loads is no answer to a queue yet: it must not be taken away meanwhile.
    pod = pods(PRODUCTION)["llm"]["spec"]["containers"][0]["startupProbe"]
    loads = pod["periodSeconds"] * pod["failureThreshold"]
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 600
    assert spec["cooldownPeriod"] >= 600
    assert loads >= 600


def test_the_others_scale_by_processor_time_and_by_what_waits() -> None:
    found = of_kind("HorizontalPodAutoscaler", PRODUCTION)
    assert set(found) == {"retriever", "embedding", "ingest"}
    for name in ("retriever", "embedding"):
        (metric,) = found[name]["spec"]["metrics"]
        assert metric["resource"]["name"] == "cpu"
    (metric,) = found["ingest"]["spec"]["metrics"]
    assert metric["external"]["metric"]["selector"]["matchLabels"] == {"namespace": NAMESPACE}
    for name in found:
        assert "replicas" not in of_kind("Deployment", PRODUCTION)[name]["spec"], name
    assert of_kind("HorizontalPodAutoscaler") == {} == of_kind("ScaledObject")


def test_a_budget_is_there_where_there_is_more_than_one_and_nowhere_else() -> None:
    assert of_kind("PodDisruptionBudget") == {}
    budgets = of_kind("PodDisruptionBudget", PRODUCTION)
    assert set(budgets) == {
        *("retriever", "ingest", "embedding", "llm", "parser", "mcp-filesystem", "qdrant"),
    }
    for name, budget in budgets.items():
        kind = "StatefulSet" if name == "qdrant" else "Deployment"
        workload = of_kind(kind, PRODUCTION)[name]["spec"]
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["selector"]["matchLabels"] == workload["selector"]["matchLabels"]


def test_replicas_are_spread_over_nodes_and_zones() -> None:
    for name, pod in pods(PRODUCTION).items():
        if pod["spec"].get("restartPolicy"):
            continue
        spread = pod["spec"]["topologySpreadConstraints"]
        assert [one["topologyKey"] for one in spread] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
        for one in spread:
            assert one["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == name
            assert one["whenUnsatisfiable"] == "ScheduleAnyway"


def test_the_cluster_of_qdrant_has_an_address_for_each_node_before_it_is_ready() -> None:
    services = of_kind("Service", PRODUCTION)
    nodes = [name for name in services if name.startswith("qdrant-")]
    assert len(nodes) == of_kind("StatefulSet", PRODUCTION)["qdrant"]["spec"]["replicas"] == 3
    for name in nodes:
        spec = services[name]["spec"]
        assert spec["publishNotReadyAddresses"] is True
        assert spec["selector"]["statefulset.kubernetes.io/pod-name"] == f"bulkhead-{name}"
        assert {one["port"] for one in spec["ports"]} == {6334, 6335}


def test_a_node_of_qdrant_is_started_with_its_own_address_and_that_of_the_first(
    tmp_path: Path,
) -> None:
    script = of_kind("ConfigMap")["qdrant"]["data"]["start.sh"]
    (tmp_path / "start.sh").write_text(script)
    entry = tmp_path / "entrypoint.sh"
    entry.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    entry.chmod(0o755)
    addresses = {"R_QDRANT_0_SERVICE_HOST": "10.0.0.5", "R_QDRANT_2_SERVICE_HOST": "fd00::7"}

    def start(name: str) -> subprocess.CompletedProcess[str]:
        environment = {"PEERS": "R_QDRANT", "HOSTNAME": name, "PATH": "/usr/bin:/bin", **addresses}
        command = ["bash", "start.sh"]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    config = ["--config-path", "/run/secrets/qdrant.yaml"]
    assert start("r-qdrant-0").stdout.split() == [*config, "--uri", "http://10.0.0.5:6335"]
    assert start("r-qdrant-2").stdout.split() == [
        *config, "--uri", "http://[fd00::7]:6335", "--bootstrap", "http://10.0.0.5:6335",
    ]  # fmt: skip
    early = start("r-qdrant-1")  # its Service is not known yet: Kubernetes starts it again
    assert early.returncode == 1
    assert "R_QDRANT_1_SERVICE_HOST is not set yet" in early.stderr
