"""The chart tells each service what its settings class reads, and what compose.yaml tells it."""

from pathlib import Path

import pytest
import yaml
from chart_objects import OWN_SERVERS, environment, of_kind, pods
from compose_file import environment as compose_environment
from compose_file import rendered, services

from retriever.tool_servers import Signed, read_tool_servers
from settings_doc import SERVICES, variables
from supply.charts import VALUES
from supply.finding import ROOT

KNOWN = {name for owner in SERVICES.values() for name, _ in variables(owner)}
PREFIXES = tuple(
    str(owner.model_config.get("env_prefix") or "OTEL_").upper() for owner in SERVICES.values()
)
EVERY = (
    *((files, ()) for files in VALUES),
    ((), ("--is-upgrade", "--set=valkey.enabled=true", "--set=monitoring.grafanaUrl=https://g")),
    ((), ("--set=bulk.enabled=true",)),
)
NOT_HERE = {
    # Sockets and a list in the image there, addresses and a list in an object here.
    "RETRIEVER_PARSER_SOCKETS",
    "PARSER_SOCKETS",
    "MCP_FILESYSTEM_UDS",
    "MCP_BRIDGE_UDS",
    # A file of the machine; where a person looks is in the notes of the release.
    "FETCHER_LLM_FILE",
    "EXAMPLES_PAGE_URL",
    "EXAMPLES_GRAFANA_URL",
    "EXAMPLES_PROFILES",  # whether there is a Grafana to name
    # `examples.enabled` makes the Job or does not.
    "EXAMPLES_WANTED",
}
OPTIONAL = {
    *("EMBEDDING_MODEL", "EMBEDDING_MODEL_ID", "EMBEDDING_RERANKER", "FETCHER_TOKEN_FILE"),
    *("FETCHER_HUB", "RETRIEVER_GRAFANA_URL", "RETRIEVER_VALKEY_URL"),
    "RETRIEVER_VALKEY_PASSWORD_FILE",
    "RETRIEVER_BRANDING_DIR",
    "RETRIEVER_PUBLIC_URL",
    # Names of a fork's plugins, given in a part's `env`.
    "RETRIEVER_CHUNKER",
    "PARSER_PLUGINS",
}
"""What compose.yaml names empty, for a person to fill in, and the chart leaves out until then."""


def test_every_variable_that_the_chart_sets_is_a_setting() -> None:
    unknown = {
        (component, name)
        for files, options in EVERY
        for component, pod in pods(files, *options).items()
        for name in environment(pod)
        if name.startswith(PREFIXES) and name not in KNOWN
    }
    unknown -= {("sample-database", "MCP_DATABASE_ADMIN_PASSWORD_FILE")}  # has no settings class
    assert unknown == set()


def test_what_compose_tells_a_service_the_chart_tells_it_too() -> None:
    config = services(rendered())
    names = {"llm": "llm-cpu", "models": "models-cpu"}
    found = pods()
    for component, pod in found.items():
        service = config.get(names.get(component, component))
        if service is None:
            continue
        told = {name for name in compose_environment(service) if name.startswith(PREFIXES)}
        lacking = told - set(environment(pod)) - NOT_HERE - OPTIONAL
        lacking = {name for name in lacking if not name.startswith("RETRIEVER_OIDC_")}
        assert lacking == set(), component
    told_somewhere = {
        name
        for files, options in EVERY
        for pod in pods(files, *options).values()
        for name in environment(pod)
    }
    assert {"RETRIEVER_GRAFANA_URL", "RETRIEVER_VALKEY_URL"} <= told_somewhere


def test_the_list_of_tool_servers_is_one_that_the_retriever_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BULKHEAD_MCP_FILESYSTEM_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("BULKHEAD_MCP_DATABASE_SERVICE_HOST", "10.0.0.2")
    for number, one in enumerate(sorted(ROOT.glob("mcp_tools/*/values.yaml"))):  # of a fork
        part = one.parent.name.upper().replace("-", "_")
        monkeypatch.setenv(f"BULKHEAD_MCP_{part}_SERVICE_HOST", f"10.0.1.{number}")
    path = tmp_path / "servers.yaml"
    told = of_kind("ConfigMap", (), *OWN_SERVERS)["retriever"]["data"]["servers.yaml"]
    path.write_text(told)
    monkeypatch.setenv("BULKHEAD_MCP_GAUGES_SERVICE_HOST", "10.0.0.3")
    monkeypatch.setenv("BULKHEAD_MCP_CLOCK_SERVICE_HOST", "10.0.0.4")
    found = {one.name: one for one in read_tool_servers(path)}
    ports = {"filesystem": "1:8090", "database": "2:8091", "gauges": "3:8199", "clock": "4:8093"}
    for name, port in ports.items():
        assert str(found[name].url) == f"http://10.0.0.{port}/mcp"
    assert found["gauges"].trusted and not found["clock"].trusted, "a bridge's words are others'"
    compose = yaml.safe_load((Path(__file__).parents[3] / "mcp_tools/servers.yaml").read_text())
    for one in compose["servers"]:
        ours = found[one["name"]]
        assert isinstance(ours.auth, Signed)
        assert str(ours.auth.key_file) == one["auth"]["key_file"]
        assert ours.trusted == one.get("trusted", False)


def test_a_server_answers_to_the_address_that_its_caller_is_told() -> None:
    for component, port in (("mcp-filesystem", 8090), ("mcp-database", 8091)):
        told = environment(pods()[component])
        prefix = component.upper().replace("-", "_")
        host = f"$(BULKHEAD_{prefix}_SERVICE_HOST):{port}"
        assert told[f"{prefix}_ALLOWED_HOSTS"] == host
