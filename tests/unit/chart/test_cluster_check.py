"""The check of a cluster's walls, planned from the rendered chart, on a kubectl of ours."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chart_objects import NAMESPACE, OWN_SERVERS, PRODUCTION, objects

import cluster_check
from cluster import kubectl as wrapped
from cluster import probe as code
from cluster.edges import edges
from cluster.judge import judge
from cluster.kubectl import ClusterError, Kubectl
from cluster.plan import PROBE, Probe, plan, templates
from sandbox.scorecard import Verdict

WALLED = {
    "root": "EROFS",
    "tmp": "OK",
    "token": "ENOENT",
    "user namespace": "EPERM",
    "names": ["gaierror"],
    "kernel": "Linux version 6.12",
    "status": {
        "CapEff": "0000000000000000",
        "CapBnd": "0000000000000000",
        "NoNewPrivs": "1",
        "Seccomp": "2",
        "Uid": "10001\t10001\t10001\t10001",
    },
}


def workloads() -> list[dict[str, Any]]:
    return [one for one in objects() if one["kind"] in {"Deployment", "StatefulSet", "Job"}]


def probes() -> dict[str, Probe]:
    return {one.component: one for one in plan("bulkhead", templates(workloads()))}


def behind(probe: Probe, **others: Any) -> dict[str, Any]:
    """What a probe sees where every wall stands."""
    targets = ["OK" if one.allowed else "ETIMEDOUT" for one in probe.targets]
    seen = WALLED | {"targets": targets, "names": ["OK" if probe.looks_up else "gaierror"]}
    if probe.pod["spec"].get("automountServiceAccountToken"):
        seen["token"] = "OK"
    return seen | others


def verdicts(
    probe: Probe, seen: dict[str, Any] | None, machines: tuple[str, ...] = ("Linux version 6.12",)
) -> dict[str, Verdict]:
    """Those of the walls that are asked for."""
    found = {one.wall: one.verdict for one in judge(probe, seen, machines)}
    return {wall: verdict for wall, verdict in found.items() if verdict is not Verdict.ABSENT}


def sandboxed() -> Probe:
    """The parser's, where values-production.yaml names gVisor for it."""
    found = templates([one for one in objects(PRODUCTION) if one["kind"] == "Deployment"])
    (probe,) = [one for one in plan("bulkhead", found) if one.component == "parser"]
    assert probe.pod["spec"]["runtimeClassName"] == "gvisor"
    return probe


def test_the_table_is_read_whole() -> None:
    text = (
        wrapped.__name__
        and Path(cluster_check.__file__)
        .parents[1]
        .joinpath("deploy/helm/bulkhead/templates/_edges.tpl")
        .read_text()
    )
    lines = [line for line in text.splitlines() if line.startswith("- {from: ")]
    assert len(edges()) == len([line for line in lines if "$name" not in line]) > 15


def test_each_component_has_a_probe_behind_its_own_walls_that_no_service_leads_to() -> None:
    found = templates(workloads())
    made = probes()
    assert set(made) == set(found)
    for component, probe in made.items():
        pod, template = probe.pod, found[component]
        labels = template["metadata"]["labels"]
        assert pod["metadata"]["labels"] == labels | PROBE
        for key in ("serviceAccountName", "securityContext", "dnsPolicy"):
            assert pod["spec"][key] == template["spec"][key], component
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["readinessProbe"]["exec"]["command"][-1] == "exit(1)"
        assert container["image"].split("@")[0].endswith("/retriever")
        compile(container["command"][2], "probe", "exec")
    may = {one.name for one in made["retriever"].targets if one.allowed}
    assert may >= {"qdrant:6334", "embedding:8081", "mcp-filesystem:8090"}
    assert not {one.name for one in made["parser"].targets if one.allowed}
    (qdrant,) = [one for one in made["parser"].targets if one.name == "qdrant:6334"]
    assert qdrant.host == "$BULKHEAD_QDRANT_0_SERVICE_HOST"


def test_a_forks_tool_server_is_planned_for_as_those_that_ship() -> None:
    found = templates([one for one in objects((), *OWN_SERVERS) if one["kind"] == "Deployment"])
    made = {one.component: one for one in plan("bulkhead", found)}
    assert {one.name for one in made["mcp-gauges"].targets if one.allowed} == {
        "otel-collector:4318"
    }
    assert not [one for one in made["mcp-clock"].targets if one.allowed]
    reached = {one.name: one.allowed for one in made["retriever"].targets}
    assert reached["mcp-gauges:8199"] and reached["mcp-clock:8093"]
    assert not {one.name: one.allowed for one in made["parser"].targets}["mcp-clock:8093"]


def test_walls_that_stand_hold_and_each_that_does_not_is_told() -> None:
    probe = probes()["parser"]
    assert set(verdicts(probe, behind(probe)).values()) == {Verdict.HOLDS}
    status = WALLED["status"]
    assert isinstance(status, dict)
    for wall, others in (
        ("network", {"targets": ["OK"] * len(probe.targets)}),
        ("network", {"targets": ["ECONNREFUSED"] * len(probe.targets)}),  # an answer as well
        ("names", {"names": ["OK"]}),
        ("token", {"token": "OK"}),
        ("root", {"root": "OK"}),
        ("user namespace", {"user namespace": "OK"}),
        ("privileges", {"status": status | {"CapBnd": "00000000a80425fb"}}),
        ("privileges", {"status": status | {"NoNewPrivs": "0"}}),
        ("privileges", {"status": status | {"Seccomp": "0"}}),
        ("privileges", {"status": status | {"Uid": "0\t0\t0\t0"}}),
    ):
        found = verdicts(probe, behind(probe, **others))
        assert found[wall] is Verdict.OPEN, (wall, others)
        assert [one for one in found.values() if one is Verdict.OPEN] == [Verdict.OPEN]


def test_a_pod_with_a_runtime_of_its_own_is_judged_by_the_kernel_that_answers_there() -> None:
    probe = sandboxed()
    status = WALLED["status"]
    assert isinstance(status, dict)
    # As gVisor says it: no filter within, and a user namespace of its own kernel's.
    within = {"status": status | {"Seccomp": "0"}, "user namespace": "OK"}
    seen = behind(probe, kernel="Linux version 4.4.0", **within)
    assert set(verdicts(probe, seen).values()) == {Verdict.HOLDS}
    found = verdicts(probe, behind(probe, **within))
    assert {wall for wall, verdict in found.items() if verdict is Verdict.OPEN} == {
        *("kernel", "user namespace", "privileges"),
    }
    assert verdicts(probe, seen, ())["kernel"] is Verdict.UNPROVEN
    plain = {one.wall: one for one in judge(probes()["parser"], behind(probes()["parser"]))}
    assert plain["kernel"].verdict is Verdict.ABSENT


def test_a_neighbour_that_may_be_called_and_does_not_answer_proves_nothing() -> None:
    probe = probes()["retriever"]
    silent = behind(probe, targets=["ETIMEDOUT"] * len(probe.targets))
    assert verdicts(probe, silent)["network"] is Verdict.UNPROVEN
    unknown = behind(probe, targets=["UNKNOWN"] * len(probe.targets))
    assert verdicts(probe, unknown)["network"] is Verdict.UNPROVEN
    assert verdicts(probe, None) == {"probe": Verdict.UNPROVEN}


FAKE = """\
#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
with (folder / "asked").open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
arguments = [one for one in sys.argv[1:] if not one.startswith("--")]
told = json.loads((folder / "told").read_text())
verb, kind = arguments[0], arguments[1] if len(arguments) > 1 else ""
if verb == "get" and kind == "namespace":
    print(json.dumps({{"metadata": {{"labels": told["labels"]}}}}))
elif verb == "get" and kind == "pods":
    made = [json.loads(line) for line in (folder / "made").read_text().splitlines()]
    print(json.dumps({{"items": [
        {{"metadata": one["metadata"], "status": {{"phase": told["phase"]}}}} for one in made
    ]}}))
elif verb == "get":
    print(json.dumps({{"items": told[kind]}}))
elif verb == "create" and "--dry-run=server" in sys.argv:
    sys.exit(told["refusal"] or 0)
elif verb == "create":
    with (folder / "made").open("a") as file:
        file.write(json.dumps(json.load(sys.stdin)) + "\\n")
elif verb == "logs":
    print("a warning\\n" + json.dumps(told["seen"][kind]))
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A kubectl that answers as a cluster with the chart would, all walls standing."""
    program = tmp_path / "kubectl"
    program.write_text(FAKE.format(python=sys.executable, folder=str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setattr(wrapped, "tool", lambda name: str(tmp_path / name))
    by_kind: dict[str, list[Any]] = {"deployments": [], "statefulsets": [], "jobs": []}
    for one in workloads():
        by_kind[one["kind"].lower() + "s"].append(one)
    told: dict[str, Any] = by_kind | {
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        "refusal": 'Error from server (Forbidden): violates PodSecurity "restricted:latest"',
        "phase": "Succeeded",
        "seen": {one.pod["metadata"]["name"]: behind(one) for one in probes().values()},
    }
    (tmp_path / "made").touch()
    (tmp_path / "told").write_text(json.dumps(told))
    return told | {"folder": tmp_path}


def tell(cluster: dict[str, Any], **others: Any) -> None:
    told = {key: value for key, value in cluster.items() if key != "folder"} | others
    (cluster["folder"] / "told").write_text(json.dumps(told))


def run(patience: float = 60) -> dict[tuple[str, str], Verdict]:
    found = cluster_check.check(Kubectl(NAMESPACE), "bulkhead", patience, lambda _: None)
    asked_for = [one for one in found if one.verdict is not Verdict.ABSENT]
    return {(one.service, one.wall): one.verdict for one in asked_for}


def test_a_cluster_with_all_walls_holds_and_its_probes_are_removed(cluster: dict[str, Any]) -> None:
    found = run()
    assert set(found.values()) == {Verdict.HOLDS}
    assert {service for service, _ in found} == {"namespace", *probes()}
    asked = [json.loads(line) for line in (cluster["folder"] / "asked").read_text().splitlines()]
    assert all(f"--namespace={NAMESPACE}" in one for one in asked)
    assert any("delete" in one and "--selector=bulkhead/probe=true" in one for one in asked)


def test_what_a_cluster_lets_through_is_told(cluster: dict[str, Any]) -> None:
    tell(cluster, labels={}, refusal="")
    assert run()["namespace", "Pod Security"] is Verdict.OPEN
    name = "bulkhead-probe-mcp-filesystem"
    seen = dict(cluster["seen"])
    targets = ["OK"] * len(seen[name]["targets"])  # a network that enforces no policies
    tell(cluster, seen=seen | {name: seen[name] | {"targets": targets}})
    found = run()
    assert [wall for wall, verdict in found.items() if verdict is Verdict.OPEN] == [
        ("mcp-filesystem", "network")
    ]


def test_probes_that_never_run_prove_nothing_and_are_removed_all_the_same(
    cluster: dict[str, Any],
) -> None:
    tell(cluster, phase="Pending")
    found = run(patience=0)
    assert found["parser", "probe"] is Verdict.UNPROVEN
    assert any('"delete"' in one for one in (cluster["folder"] / "asked").read_text().splitlines())


def test_a_namespace_without_the_release_is_told(cluster: dict[str, Any]) -> None:
    tell(cluster, deployments=[])
    with pytest.raises(ClusterError, match="no release bulkhead"):
        run()


def test_the_probe_itself_says_how_each_try_ended() -> None:
    told = {
        "targets": [["127.0.0.1", 1], ["$NO_SUCH_HOST", 1]],
        "names": ["localhost"],
        "seconds": 60,
    }
    done = subprocess.run(
        [sys.executable, "-c", Path(code.__file__).read_text(), json.dumps(told)],
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert seen["targets"] == ["ECONNREFUSED", "UNKNOWN"]
    assert seen["names"] == ["OK"]
    assert set(seen) == set(WALLED) | {"targets"}
    assert set(seen["status"]) == {"CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Uid"}
