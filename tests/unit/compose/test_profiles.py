"""What is left out of the stack is missed by nothing that stays, whatever the choice."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import chain, combinations

import pytest
import yaml
from compose_file import ROOT, Json, environment, rendered, services
from compose_rules import ONE_SHOTS

from bulkhead.profiles import OPTIONAL, VARIABLE

LISTED = yaml.safe_load((ROOT / "mcp_tools/servers.yaml").read_text(encoding="utf-8"))
SERVERS = ("cpu", "vllm-cpu", "gpu", "gpu-embedding")
PARTS = {
    "tools": {"sample-database", "postgres"} | {f"mcp-{one['name']}" for one in LISTED["servers"]},
    "quality": {"quality"},
    "observability": {"otel-collector", "prometheus", "alertmanager", "tempo", "grafana"},
}


def choices() -> Iterator[tuple[str, ...]]:
    """Every model server, with every set of what can be left out."""
    sets = chain.from_iterable(combinations(OPTIONAL, n) for n in range(len(OPTIONAL) + 1))
    optional = list(sets)
    for server in SERVERS:
        for chosen in optional:
            yield (server, *chosen)


ALL = services(rendered())


def started(chosen: tuple[str, ...]) -> dict[str, Json]:
    """The services that a choice of profiles starts."""
    return {
        name: service
        for name, service in ALL.items()
        if not service.get("profiles") or set(chosen) & set(service["profiles"])
    }


def test_each_profile_brings_its_parts_and_no_others() -> None:
    core = set(started(("cpu",)))
    for profile, parts in PARTS.items():
        assert set(started(("cpu", profile))) - core == parts
        assert not core & parts


def test_nothing_that_starts_waits_for_what_is_left_out() -> None:
    for chosen in choices():
        there = started(chosen)
        for name, service in there.items():
            needed = {
                other
                for other, how in (service.get("depends_on") or {}).items()
                if how.get("required", True)
            }
            assert needed <= there.keys(), (chosen, name, needed - there.keys())


def test_every_one_shot_that_starts_is_waited_for_by_something_that_starts() -> None:
    for chosen in choices():
        there = started(chosen)
        awaited = {other for service in there.values() for other in service.get("depends_on") or {}}
        run = {name for name, service in there.items() if service.get("scale") != 0}
        assert ONE_SHOTS & run <= awaited, (chosen, "`up --wait` would call its end a failure")


def test_whoever_may_ask_what_is_left_out_is_told_the_profiles() -> None:
    for name, service in started(("cpu", *OPTIONAL)).items():
        told = environment(service)
        if "OTEL_EXPORTER_OTLP_ENDPOINT" in told:
            assert told[VARIABLE].startswith("cpu,"), name


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs Compose, and no engine")
def test_compose_itself_makes_a_whole_stack_of_every_choice() -> None:
    for chosen in choices():
        told = os.environ | {"COMPOSE_PROFILES": ",".join(chosen)}
        done = subprocess.run(
            ["docker", "compose", "-f", "compose.yaml", "config", "--services"],
            cwd=ROOT,
            env=told,
            capture_output=True,
            text=True,
        )
        if done.returncode and "is not a docker command" in done.stderr:
            pytest.skip("Compose is not installed")
        assert done.returncode == 0, (chosen, done.stderr)
        assert set(done.stdout.split()) == set(started(chosen)), chosen
