"""compose.yaml gives what sees the stack its configuration, its reach and nothing more."""

import re

import yaml
from compose_file import ROOT, Json, environment, networks, published, rendered, services

from retriever.tool_servers import read_tool_servers

CONFIG = rendered()
SERVICES = services(CONFIG)


def read(path: str) -> Json:
    loaded: Json = yaml.safe_load((ROOT / path).read_text())
    return loaded


def meets(one: str, other: str) -> bool:
    """Whether two services share a network; a name may be an alias, as `llm` is."""
    return any({one, other} == set(_ends(network, one)) for network in CONFIG["networks"])


def _ends(network: str, end: str) -> tuple[str, ...]:
    if network.startswith(f"{end}-"):
        return (end, network.removeprefix(f"{end}-"))
    return (end, network.removesuffix(f"-{end}")) if network.endswith(f"-{end}") else ()


def test_dashboards_lie_where_grafana_is_told_to_look() -> None:
    provider = read("observability/grafana/provisioning/dashboards/dashboards.yaml")
    folder = provider["providers"][0]["options"]["path"]
    assert folder.startswith("/etc/bulkhead/")
    there = ROOT / "observability" / folder.removeprefix("/etc/bulkhead/")
    assert len(list(there.glob("*.json"))) == 7
    told = environment(SERVICES["grafana"])["GF_PATHS_PROVISIONING"]
    assert (ROOT / "observability" / told.removeprefix("/etc/bulkhead/") / "dashboards").is_dir()


def test_prometheus_reaches_what_it_scrapes_and_who_sends_to_it() -> None:
    jobs = read("observability/prometheus/prometheus.yml")["scrape_configs"]
    hosts = {job["static_configs"][0]["targets"][0].partition(":")[0] for job in jobs}
    for host in (hosts - {"localhost"}) | {"otel-collector", "grafana", "alertmanager"}:
        assert meets("prometheus", host), host


def test_the_key_that_prometheus_reads_qdrant_with_can_write_nothing() -> None:
    jobs = read("observability/prometheus/prometheus.yml")["scrape_configs"]
    (qdrant,) = [job for job in jobs if job["job_name"] == "qdrant"]
    assert qdrant["authorization"]["credentials_file"] == "/run/secrets/qdrant-read-only-key"


def test_whoever_sends_to_the_collector_reaches_it_and_does_both_traces_and_metrics() -> None:
    senders = {
        name
        for name, service in SERVICES.items()
        if "OTEL_EXPORTER_OTLP_ENDPOINT" in environment(service)
    }
    tool_servers = read_tool_servers(ROOT / "mcp_tools/servers.yaml")
    ours = {f"mcp-{one.name}" for one in tool_servers if one.trusted and one.socket is None}
    assert senders == {"retriever", "ingest", "embedding", "embedding-gpu", "quality"} | ours
    port = read("observability/otel-collector/config.yaml")["receivers"]["otlp"]["protocols"]
    for name in senders:
        one = environment(SERVICES[name])
        assert one["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://otel-collector:4318"
        assert one["OTEL_METRICS_EXPORTER"] == "otlp"
        assert networks(SERVICES[name]) & networks(SERVICES["otel-collector"]), name
    assert port["http"]["endpoint"].endswith(":4318")


def test_the_quality_service_reads_with_a_key_that_is_no_admins() -> None:
    assert environment(SERVICES["quality"])["QUALITY_API_KEY_FILE"] == "/run/secrets/prober-key"


def test_grafana_is_published_by_the_ingress_on_loopback_and_linked_from_the_page() -> None:
    assert ("127.0.0.1", "3000") in published(SERVICES["ingress"])
    routes = environment(SERVICES["ingress"])["INGRESS_ROUTES"].split()
    assert "3000=grafana:3000" in routes and meets("ingress", "grafana")
    assert environment(SERVICES["retriever"])["RETRIEVER_GRAFANA_URL"] == "http://127.0.0.1:3000"


def test_prometheus_keeps_what_the_error_budgets_look_back_on() -> None:
    days = re.search(r"retention\.time=(\d+)d", " ".join(SERVICES["prometheus"]["command"]))
    assert days is not None and int(days[1]) > 30
