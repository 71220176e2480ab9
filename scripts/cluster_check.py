"""Tries to break the walls of the pods of a release in a cluster; prints a scorecard.

For each component it makes a pod with the same labels, account and security context out of the
retriever's image, and tries from there what must not work: to reach what no edge leads to, the
internet, the API server, a cloud's metadata; to look names up, to write its root, to gain
privileges. What an edge leads to has to answer: were nothing reached at all, the walls would prove
nothing. The probes are removed again. Exit codes: 0 no wall is open, 1 one is, 2 it could not be
tried.
"""

import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from client.screen import terminal
from cluster.judge import judge
from cluster.kubectl import ClusterError, Kubectl
from cluster.plan import PROBE, Probe, plan, templates, unwalled
from sandbox.scorecard import Finding, Verdict, show
from supply.tools import ToolMissing

ENFORCED = "pod-security.kubernetes.io/enforce"
_SELECTOR = ",".join(f"{key}={value}" for key, value in PROBE.items())


def check(
    kubectl: Kubectl, release: str, patience: float, sleep: Callable[[float], None] = time.sleep
) -> list[Finding]:
    """Every wall of every component. Raises `ClusterError`."""
    ours = f"app.kubernetes.io/name=bulkhead,app.kubernetes.io/instance={release}"
    workloads = [
        one for kind in ("deployments", "statefulsets", "jobs") for one in kubectl.get(kind, ours)
    ]
    found = templates(workloads)
    if "retriever" not in found:
        raise ClusterError(f"{kubectl.namespace} has no release {release} of the chart")
    image = found["retriever"]["spec"]["containers"][0]["image"]
    findings = [_namespace(kubectl, release, image)]
    probes = plan(release, found)
    try:
        for probe in probes:
            kubectl.create(probe.pod)
        seen = _results(kubectl, probes, patience, sleep)
    finally:
        kubectl.delete(_SELECTOR)
    machines = {
        seen[one.component]["kernel"]
        for one in probes
        if one.component in seen and not one.pod["spec"].get("runtimeClassName")
    }
    for probe in probes:
        findings += judge(probe, seen.get(probe.component), machines)
    return findings


def _namespace(kubectl: Kubectl, release: str, image: str) -> Finding:
    """Whether the namespace refuses a pod without walls."""
    level = kubectl.labels().get(ENFORCED, "no level")
    refused = kubectl.refuses(unwalled(release, image))
    verdict = Verdict.HOLDS if "PodSecurity" in refused else Verdict.OPEN
    words = "refuses a privileged pod" if refused else "takes a privileged pod"
    return Finding("namespace", "Pod Security", verdict, f"at {level} it {words}")


def _results(
    kubectl: Kubectl, probes: list[Probe], patience: float, sleep: Callable[[float], None]
) -> dict[str, Any]:
    """What each probe printed, of those that end in time."""
    by_name = {probe.pod["metadata"]["name"]: probe.component for probe in probes}
    until = time.monotonic() + patience
    while True:
        phases = {
            one["metadata"]["name"]: one.get("status", {}).get("phase")
            for one in kubectl.get("pods", _SELECTOR)
        }
        ended = {name for name, phase in phases.items() if phase in {"Succeeded", "Failed"}}
        if set(by_name) <= ended or time.monotonic() > until:
            break
        sleep(1.0)
    return {
        by_name[name]: json.loads(kubectl.logs(name).strip().splitlines()[-1])
        for name in sorted(ended & set(by_name))
        if phases[name] == "Succeeded"
    }


def main(
    namespace: Annotated[str, typer.Option(help="Where the release is.")] = "bulkhead",
    release: Annotated[str, typer.Option(help="Its name.")] = "bulkhead",
    context: Annotated[str, typer.Option(help="Another context than kubectl's current.")] = "",
    patience: Annotated[float, typer.Option(help="Longest wait for the probes, in seconds.")] = 300,
    evidence: Annotated[bool, typer.Option(help="Show what was seen for every wall.")] = False,
) -> None:
    """Check the walls of a release in a cluster."""
    console = terminal()
    try:
        findings = check(Kubectl(namespace, context), release, patience)
    except (ClusterError, ToolMissing) as error:
        console.print(f"cluster: {error}", style="bold red", markup=False)
        raise typer.Exit(2) from error
    show(findings, console, evidence)
    raise typer.Exit(int(any(one.verdict is Verdict.OPEN for one in findings)))


if __name__ == "__main__":
    typer.run(main)
