"""Who may call whom in the cluster is who may in compose.yaml, computed from both."""

import ipaddress
import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from chart_objects import NAMESPACE, OWN_SERVERS, PRODUCTION, needed, objects, of_ray
from compose_file import Json, mounts, names, rendered, services
from compose_rules import SIDES, ends_of

from supply.tools import tool

Edge = frozenset[str]
Connection = tuple[str, str, str]
"""From, to, and by what."""

ELSEWHERE = {"login", "ingress", "grafana", "tempo", "alertmanager", "prometheus"}
"""What the cluster has of its own: a way in, and what watches."""
WITHIN = {"qdrant": 6335}
"""Between the nodes of one service, of which compose.yaml has one."""
ALONE = {"migrate"}
"""What compose.yaml does in the retriever's start."""
_CONNECTION = re.compile(
    r"^(?P<source>\S+?)(?:\[\w+\])? => (?P<goal>\S+?)(?:\[\w+\])? : (?P<what>.*)$"
)


def of_compose() -> set[Edge]:
    """Pairs of services with a network or a socket between them."""
    config = services(rendered())
    found: set[Edge] = set()
    members: dict[str, set[str]] = {}
    for name, service in config.items():
        part = _part(name, service)
        for network in service.get("networks") or ():
            members.setdefault(network, set()).add(part)
        for mount in mounts(service):
            if mount.source.endswith("-socket") and (listener := ends_of(mount.source)[0]) != name:
                found.add(frozenset({part, listener}))
    for there in members.values():
        sides = {one: SIDES.get(one, one) for one in there}  # a program that runs twice is one end
        if len(set(sides.values())) == 2:  # else it is a way out, for one of the fetchers at a time
            pairs = combinations(there, 2)
            found |= {frozenset(one) for one in pairs if sides[one[0]] != sides[one[1]]}
    return {edge for edge in found if len(edge) == 2 and not edge & ELSEWHERE}


def _part(name: str, service: Json) -> str:
    """What its kind is called on its networks, where there are several of it."""
    aliases = names(name, service) - {name}
    return aliases.pop() if aliases else name


def connections(files: tuple[str, ...], folder: Path, *options: str) -> Iterator[Connection]:
    """Every allowed connection, computed from the policies."""
    needed("nca")
    told = [
        one
        for one in objects(files, *options)
        if one["kind"] in {"NetworkPolicy", "Deployment", "StatefulSet", "Job"}
    ]
    for job in (one for one in objects(files, *options) if one["kind"] == "RayJob"):
        pods = of_ray(job)
        labels = pods["bulk"]["metadata"]["labels"]
        assert pods["bulk-workers"]["metadata"]["labels"] == labels  # so one stands for both
        told.append(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "bulkhead-bulk", "namespace": NAMESPACE},
                "spec": {"selector": {"matchLabels": labels}, "template": pods["bulk"]},
            }
        )
    label = {"kubernetes.io/metadata.name": NAMESPACE}
    told.append(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": label},
        }
    )
    # Somebody who is not ours, in the namespace and beside it.
    for namespace in (NAMESPACE, "other"):
        told.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": "stranger",
                    "namespace": namespace,
                    "labels": {"app.kubernetes.io/name": "bulkhead"},
                },
                "spec": {"containers": [{"name": "a", "image": "a"}]},
            }
        )
    file = folder / "objects.yaml"
    file.write_text(yaml.safe_dump_all(told))
    command = [tool("nca"), "--connectivity", str(file), "-n", str(file), "-p", str(file)]
    command += ["--output_format=txt_no_fw_rules", "--output_endpoints=deployments"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = [match for line in done.stdout.splitlines() if (match := _CONNECTION.match(line))]
    assert found, done.stdout + done.stderr
    for one in found:
        yield _component(one["source"]), _component(one["goal"]), one["what"]


def _component(endpoint: str) -> str:
    name = endpoint.removeprefix(f"{NAMESPACE}/bulkhead-")
    return re.sub(r"-[0-9a-f]{8}$", "", name) if name != endpoint else endpoint


@pytest.fixture(scope="module")
def allowed(tmp_path_factory: pytest.TempPathFactory) -> list[Connection]:
    folder = tmp_path_factory.mktemp("network")
    options = ("--set=valkey.enabled=true", "--set=bulk.enabled=true")
    return list(connections((), folder, *options))


def _ours(name: str) -> bool:
    return re.fullmatch(r"[a-z][a-z-]*", name) is not None


def _among_us(allowed: list[Connection]) -> list[Connection]:
    return [one for one in allowed if _ours(one[0]) and _ours(one[1])]


def test_the_pairs_that_may_talk_are_those_of_compose(allowed: list[Connection]) -> None:
    ours = {frozenset({source, goal}) for source, goal, _ in _among_us(allowed) if source != goal}
    ours = {edge for edge in ours if not edge & ALONE}
    assert ours == of_compose()


def test_each_connection_has_one_direction_and_one_port(
    allowed: list[Connection],
) -> None:
    among_us = _among_us(allowed)
    for source, goal, what in among_us:
        assert re.fullmatch(r"\{protocols:TCP,dst_ports:\d+\}", what), (source, goal, what)
    directed = {(source, goal) for source, goal, _ in among_us}
    both = {edge for edge in directed if (edge[1], edge[0]) in directed and edge[0] != edge[1]}
    # The prober asks the retriever, which hands it answers.
    assert both == {("quality", "retriever"), ("retriever", "quality")}


def test_within_a_service_the_nodes_of_qdrant_alone_talk() -> None:
    """Of one with itself, nca says nothing."""
    for one in objects():
        if one["kind"] != "NetworkPolicy" or not one["spec"]["podSelector"]:
            continue
        own = one["spec"]["podSelector"]["matchLabels"]
        for side, others in (("ingress", "from"), ("egress", "to")):
            for rule in one["spec"][side] or ():
                if {"podSelector": {"matchLabels": own}} in rule[others]:
                    name = own["app.kubernetes.io/component"]
                    assert rule["ports"] == [{"protocol": "TCP", "port": WITHIN[name]}]


def test_a_tool_server_for_files_and_the_parser_reach_nobody(
    allowed: list[Connection],
) -> None:
    for alone in ("mcp-filesystem", "parser", "llm", "qdrant", "state", "postgres", "valkey"):
        goals = {goal for source, goal, _ in allowed if source == alone} - {alone}
        assert goals == set(), alone
    assert {source for source, goal, _ in allowed if goal == "parser"} == {"ingest", "bulk"}
    assert {source for source, goal, _ in allowed if goal == "mcp-filesystem"} == {"retriever"}


def test_only_the_fetcher_and_who_makes_the_secrets_have_a_way_out(
    allowed: list[Connection],
) -> None:
    out = {
        (source, re.sub(r".*dst_ports:|\}", "", what))
        for source, goal, what in allowed
        if _ours(source) and not _ours(goal)
    }
    # Ray's pods ask the name servers for their head, and nobody else.
    assert out == {("models", "443"), ("models", "53"), ("secrets", "443,6443"), ("bulk", "53")}


def test_ray_is_reached_by_its_own_pods_and_its_operator_alone(
    allowed: list[Connection],
) -> None:
    assert {source for source, goal, _ in allowed if goal == "bulk"} <= {"bulk"}
    (policy,) = [
        one["spec"]
        for one in objects((), "--set=bulk.enabled=true")
        if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "bulkhead-bulk"
    ]
    own, operator = policy["ingress"]
    assert own == {"from": [{"podSelector": policy["podSelector"]}]}
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]
    (peer,) = operator["from"]
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}
    assert peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] != NAMESPACE
    (job,) = [one for one in objects((), "--set=bulk.enabled=true") if one["kind"] == "RayJob"]
    spec = job["spec"]
    assert spec["submissionMode"] == "HTTPMode"  # no pod more that hands it in
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert spec["rayClusterSpec"]["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert not [one for one in objects() if one["kind"] == "RayJob"]


def test_the_words_of_a_bulk_run_reach_it_as_they_are() -> None:
    options = ("--set=bulk.enabled=true", "--set=bulk.arguments={s3://a b/c,it's,$(id)}")
    (job,) = [one for one in objects((), *options) if one["kind"] == "RayJob"]
    words = shlex.split(job["spec"]["entrypoint"])
    assert words == ["/venv/bin/python", "-m", "bulk", "s3://a b/c", "it's", "$(id)"]


def test_a_stranger_reaches_nobody_even_in_the_namespace(
    allowed: list[Connection],
) -> None:
    for source, goal, _ in allowed:
        if "other/stranger" in (source, goal):
            assert not _ours(source) and not _ours(goal), (source, goal)
    inside = {(a, b) for a, b, _ in allowed if f"{NAMESPACE}/stranger" in (a, b)}
    assert inside == set()


def test_metadata_of_the_cloud_and_private_networks_are_no_hub(
    allowed: list[Connection],
) -> None:
    ranges = [
        [ipaddress.ip_address(one) for one in goal.split("-")]
        for source, goal, _ in allowed
        if source == "models" and re.match(r"^\d+\.[\d.]+-\d", goal)
    ]
    assert ranges
    for address in ("169.254.169.254", "10.96.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1"):
        asked = ipaddress.ip_address(address)
        assert not any(int(low) <= int(asked) <= int(high) for low, high in ranges), address
    public = ipaddress.ip_address("203.0.113.7")
    assert any(int(low) <= int(public) <= int(high) for low, high in ranges)


def test_in_production_databases_are_reached_elsewhere_and_prometheus_comes_in(
    tmp_path: Path,
) -> None:
    found = list(connections(PRODUCTION, tmp_path))
    pairs = {(source, goal) for source, goal, _ in found}
    assert ("retriever", "state") not in pairs
    policies = {
        one["metadata"]["name"]: one["spec"]
        for one in objects(PRODUCTION)
        if one["kind"] == "NetworkPolicy"
    }
    databases = {"kubernetes.io/metadata.name": "databases"}
    out = policies["bulkhead-retriever"]["egress"]
    to = [(rule["to"][0].get("namespaceSelector"), rule["ports"][0]["port"]) for rule in out]
    assert ({"matchLabels": databases}, 5432) in to
    assert ({"matchLabels": databases}, 6379) in to
    monitoring = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    for name, ports in (("otel-collector", {8888, 9464}), ("llm", {8000}), ("qdrant", {6333})):
        (rule,) = [
            one
            for one in policies[f"bulkhead-{name}"]["ingress"]
            if one["from"] == [{"namespaceSelector": monitoring}]
        ]
        assert {one["port"] for one in rule["ports"]} == ports


def test_a_forks_tool_server_and_bridge_are_reached_by_the_retriever_and_reach_nobody_else(
    tmp_path: Path,
) -> None:
    allowed = list(connections((), tmp_path, *OWN_SERVERS))
    theirs = {one for one in _among_us(allowed) if {"mcp-gauges", "mcp-clock"} & set(one[:2])}
    assert {(source, goal, re.sub(r"\D", "", what)) for source, goal, what in theirs} == {
        ("retriever", "mcp-gauges", "8199"),
        ("retriever", "mcp-clock", "8093"),
        ("mcp-gauges", "otel-collector", "4318"),
    }
    assert not [
        one for one in allowed if one[0] in {"mcp-gauges", "mcp-clock"} and one not in theirs
    ]
