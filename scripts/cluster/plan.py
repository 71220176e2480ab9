"""The probes: for each component a pod with its labels, its account and its security context.

Network policies pick pods by their labels, so what holds for the probe holds for the component;
its own image need not have a shell. No Service leads to a probe, for it is never ready.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cluster.edges import Edge, edges
from cluster.kubectl import Json

COMPONENT = "app.kubernetes.io/component"
PROBE = {"bulkhead/probe": "true"}
OUTSIDE = ("1.1.1.1", 443)
"""Somebody on the internet who answers."""
METADATA = ("169.254.169.254", 80)
"""Where clouds tell a machine its credentials."""
API = ("$KUBERNETES_SERVICE_HOST", 443)
SECONDS = 4.0
NAME = "kubernetes.default.svc"
_SPEC = (
    *("serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "dnsPolicy"),
    *("dnsConfig", "securityContext", "runtimeClassName", "imagePullSecrets", "nodeSelector"),
    *("tolerations", "shareProcessNamespace"),
)
"""What a probe takes over of its component's pod."""


class Target(NamedTuple):
    """A place that a probe tries to reach, and whether it may."""

    name: str
    host: str
    port: int
    allowed: bool


class Probe(NamedTuple):
    """A pod to make, and what it tries."""

    component: str
    pod: Json
    targets: tuple[Target, ...]
    looks_up: bool


def templates(workloads: Sequence[Json]) -> dict[str, Json]:
    """Of Deployments, StatefulSets and Jobs, each component's pod template."""
    found = {}
    for one in workloads:
        template = one["spec"]["template"]
        if component := template["metadata"].get("labels", {}).get(COMPONENT):
            found[component] = template
    return found


def plan(release: str, found: Mapping[str, Json]) -> list[Probe]:
    """A probe for each component that is there. `found`: pod templates by component."""
    table = (*edges(), *_own(found))
    image = found["retriever"]["spec"]["containers"][0]["image"]
    ports = {(edge.goal, edge.port) for edge in table if edge.goal in found}
    probes = []
    for component, template in sorted(found.items()):
        may = {(edge.goal, edge.port) for edge in table if edge.source == component}
        targets = [
            Target(f"{goal}:{port}", _host(release, goal), port, (goal, port) in may)
            for goal, port in sorted(ports)
            if goal != component
        ]
        looks_up = template["spec"].get("dnsPolicy") != "None"
        fetches, asks = component == "models", component == "secrets"
        targets += [
            Target("internet", *OUTSIDE, allowed=fetches or asks),
            Target("metadata", *METADATA, allowed=False),
            Target("API server", *API, allowed=asks),
        ]
        if asks:  # its policy cannot name the server, and lets it ask whom it likes there
            targets = [one for one in targets if one.name != "metadata"]
        pod = _pod(release, component, template, image, targets)
        probes.append(Probe(component, pod, tuple(targets), looks_up))
    return probes


def _own(found: Mapping[str, Json]) -> list[Edge]:
    """The edges of a fork's tool servers, which the chart's table has only where they are there."""
    known = {edge.goal for edge in edges()}
    made = []
    for component, template in found.items():
        if component.startswith("mcp-") and component not in known:
            (container,) = template["spec"]["containers"]
            made.append(Edge("retriever", component, container["ports"][0]["containerPort"]))
            if any(one["name"] == "OTEL_EXPORTER_OTLP_ENDPOINT" for one in container["env"]):
                made.append(Edge(component, "otel-collector", 4318))
    return made


def _host(release: str, component: str) -> str:
    node = (
        f"{component}-0" if component == "qdrant" else component
    )  # its own Service has no address
    return "$" + f"{release}-{node}_SERVICE_HOST".upper().replace("-", "_")


def _pod(
    release: str, component: str, template: Json, image: str, targets: Sequence[Target]
) -> Json:
    told = {
        "targets": [[one.host, one.port] for one in targets],
        "names": [NAME],
        "seconds": SECONDS,
    }
    spec = {key: template["spec"][key] for key in _SPEC if key in template["spec"]}
    walls = template["spec"]["containers"][0]["securityContext"]
    code = Path(__file__).with_name("probe.py").read_text(encoding="utf-8")
    small = {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "8Mi"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{release}-probe-{component}",
            "labels": template["metadata"]["labels"] | PROBE,
        },
        "spec": spec
        | {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 300,
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "command": ["python", "-c", code, json.dumps(told)],
                    "securityContext": walls,
                    "resources": {"requests": small, "limits": small},
                    # Never ready: no Service of the component's leads here.
                    "readinessProbe": {"exec": {"command": ["python", "-c", "exit(1)"]}},
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}],
        },
    }


def unwalled(release: str, image: str) -> Json:
    """A pod that the namespace has to refuse: what `restricted` is there for."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{release}-probe-unwalled", "labels": PROBE},
        "spec": {
            "containers": [
                {"name": "probe", "image": image, "securityContext": {"privileged": True}}
            ]
        },
    }
