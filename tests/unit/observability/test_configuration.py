"""Prometheus, Alertmanager, Tempo and Grafana agree with each other and with the rules."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_rules import alerts

from embedded.tool_list import own_servers
from monitoring.generate import OBSERVABILITY
from monitoring.panels import PROMETHEUS, TEMPO
from monitoring.slo import OBJECTIVES


def load(path: str) -> Any:
    return yaml.safe_load((OBSERVABILITY / path).read_text())


@pytest.mark.skipif(not shutil.which("promtool"), reason="Prometheus' promtool is missing")
@pytest.mark.parametrize("name", ["prometheus.yml", "embedded.yml"])
def test_prometheus_reads_its_configuration(name: str, tmp_path: Path) -> None:
    config = load(f"prometheus/{name}")
    config.pop("otlp", None)  # younger than the promtool that distributions have
    config["rule_files"] = [str(OBSERVABILITY / "prometheus/rules/*.yml")]
    file = tmp_path / name
    file.write_text(yaml.safe_dump(config))
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_both_modes_read_the_same_rules_and_call_the_services_the_same() -> None:
    full, embedded = load("prometheus/prometheus.yml"), load("prometheus/embedded.yml")
    assert full["rule_files"] == embedded["rule_files"] == ["rules/*.yml"]
    jobs = {one["job_name"] for one in embedded["scrape_configs"]}
    # OTLP's jobs are service.namespace/service.name; `create_app` is told the name.
    services = {"retriever", "embedding", "quality", *(one.part for one in own_servers({}))}
    assert {f"bulkhead/{name}" for name in services} | {"llm", "prometheus"} == jobs


def test_every_matcher_of_alertmanager_names_an_alert_or_an_objective_that_exists() -> None:
    config = load("alertmanager/alertmanager.yml")
    jobs = {one["job_name"] for one in load("prometheus/prometheus.yml")["scrape_configs"]}
    known = {
        "alertname": set(alerts()),
        "slo": {objective.name for objective in OBJECTIVES} | {".+"},
        "severity": {"page", "ticket"},
        "job": jobs,
    }
    matchers = [
        matcher
        for rule in config["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
    ]
    assert matchers
    for matcher in matchers:
        found = re.fullmatch(r'(\w+)=~?"(.*)"', matcher)
        assert found is not None, matcher
        assert set(found[2].split("|")) <= known[found[1]], matcher


def test_no_alert_can_silence_itself() -> None:
    for rule in load("alertmanager/alertmanager.yml")["inhibit_rules"]:
        assert not set(rule["source_matchers"]) >= set(rule["target_matchers"])


def test_every_route_leads_to_a_receiver_whose_address_is_a_secret_file() -> None:
    config = load("alertmanager/alertmanager.yml")
    receivers = {receiver["name"]: receiver for receiver in config["receivers"]}
    used = {config["route"]["receiver"], *(one["receiver"] for one in config["route"]["routes"])}
    assert used == set(receivers)
    (webhook,) = receivers["webhook"]["webhook_configs"]
    assert webhook["url_file"].startswith("/run/secrets/") and "url" not in webhook


def test_grafana_has_the_data_sources_that_the_dashboards_ask() -> None:
    sources = load("grafana/provisioning/datasources/datasources.yaml")["datasources"]
    by_uid = {source["uid"]: source for source in sources}
    assert set(by_uid) == {PROMETHEUS, TEMPO}
    links = by_uid[PROMETHEUS]["jsonData"]["exemplarTraceIdDestinations"]
    assert [link["datasourceUid"] for link in links] == [TEMPO]
    tempo = load("tempo/tempo.yaml")["server"]["http_listen_port"]
    assert by_uid[TEMPO]["url"] == f"http://tempo:{tempo}"


def test_the_collector_sends_traces_where_tempo_listens() -> None:
    collector = load("otel-collector/config.yaml")["exporters"]["otlp_http/tempo"]["endpoint"]
    tempo = load("tempo/tempo.yaml")["distributor"]["receivers"]["otlp"]["protocols"]["http"]
    assert collector.rpartition(":")[2] == tempo["endpoint"].rpartition(":")[2]
