"""The chart as Helm renders it, each rendering once for all tests of a process."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.values import CHART
from supply.charts import VALUES, example
from supply.finding import ROOT
from supply.tools import ToolMissing, tool

Json = dict[str, Any]

NAMESPACE = "rag"
PRODUCTION = VALUES[-1]
OWN_SERVERS = (
    *("--set=toolServers.gauges.port=8199", "--set=toolServers.gauges.user=10042"),
    *("--set=toolServers.clock.port=8093", "--set=toolServers.clock.user=10014"),
    *("--set=toolServers.clock.bridge=true", "--set=toolServers.clock.runtimeClassName=gvisor"),
    '--set-json=toolServers.clock.env={"MCP_BRIDGE_COMMAND": "[\\"/server/bin/clock\\"]"}',
    f"--set=images.digests.mcp-gauges=sha256:{'a' * 64}",
    f"--set=images.digests.mcp-clock=sha256:{'b' * 64}",
)
"""A tool server of a fork's and a bridge, as options of Helm's."""
PODS = ("Deployment", "StatefulSet", "Job")


def needed(*names: str) -> None:
    """Skip the test, by name, where `make charts` could not bring these tools."""
    try:
        for name in names:
            tool(name)
    except ToolMissing as error:
        pytest.skip(f"`make charts` has not made .charts: {error}")


@cache
def release_values() -> Path:
    """A values-images.yaml, as a release writes it."""
    return example(Path(tempfile.mkdtemp(prefix="bulkhead-chart-")))


def helm(*arguments: str, program: str = "helm4") -> subprocess.CompletedProcess[str]:
    """What Helm makes of its arguments."""
    needed(program)
    return subprocess.run([tool(program), *arguments], capture_output=True, text=True)


@cache
def text(files: tuple[str, ...] = (), *options: str, program: str = "helm4") -> str:
    """The chart rendered with these files of its own, and options."""
    given = [f"--values={CHART / name}" for name in files]
    # A fork's tool servers, as scripts/new_tool_server.py writes them.
    given += [f"--values={path}" for path in sorted(ROOT.glob("mcp_tools/*/values.yaml"))]
    done = helm(
        *("template", "bulkhead", str(CHART), f"--namespace={NAMESPACE}"),
        f"--values={release_values()}",
        *given,
        *options,
        program=program,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def objects(files: tuple[str, ...] = (), *options: str) -> list[Json]:
    """The objects of that rendering. Do not change them."""
    return [one for one in yaml.safe_load_all(text(files, *options)) if one]


def of_kind(kind: str, files: tuple[str, ...] = (), *options: str) -> dict[str, Json]:
    """Objects of a kind by name, without the release's."""
    return {
        one["metadata"]["name"].removeprefix("bulkhead-"): one
        for one in objects(files, *options)
        if one["kind"] == kind
    }


def pods(files: tuple[str, ...] = (), *options: str) -> dict[str, Json]:
    """Every pod template by its component."""
    found = {
        one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"][
            "template"
        ]
        for one in objects(files, *options)
        if one["kind"] in PODS
    }
    for one in objects(files, *options):
        if one["kind"] == "RayJob":
            found |= of_ray(one)
    return found


def of_ray(job: Json) -> dict[str, Json]:
    """The pod templates of a RayJob: its head's, and its workers'."""
    spec = job["spec"]["rayClusterSpec"]
    (workers,) = spec["workerGroupSpecs"]
    return {"bulk": spec["headGroupSpec"]["template"], "bulk-workers": workers["template"]}


def containers(pod: Json) -> list[Json]:
    """All containers of a pod template."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def environment(pod: Json) -> dict[str, str]:
    """The variables of a pod's one container."""
    (container,) = pod["spec"]["containers"]
    return {one["name"]: one["value"] for one in container.get("env", [])}
