"""Brings the stack up once for all tests here: `make test-stack`.

Where the stand-ins of base images are there, the override uses them; else compose.yaml as it is.
BULKHEAD_STACK_KEEP=1 leaves the stack up afterwards; one that is up is brought up to date.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from compose_disks import kept
from compose_file import ROOT
from compose_stack import PORT, SMALLEST_PORT, Stack
from rig import Api

_HERE = Path(__file__).parent
_FILES = ["-f", "compose.yaml"]
_FILES += ["-f", "tests/stack/compose.scripted.yaml", "-f", "tests/stack/compose.disks.yaml"]
_STANDIN = ["-f", "tests/stack/compose.standin.yaml"]
_START_SECONDS = 900


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """These tests run when they are asked for by path, and never as part of the whole."""
    asked = any("tests/stack" in str(argument) for argument in config.args)
    alone = bool(config.args) and all("test_smallest" in str(one) for one in config.args)
    for item in items:
        if item.path.is_relative_to(_HERE):
            if item.path.name == "test_smallest.py" and not alone:
                # An engine has addresses for 31 networks; the whole stack has most of them.
                item.add_marker(pytest.mark.skip(reason="is run by itself: make test-stack"))
            item.add_marker(pytest.mark.timeout(2 * _START_SECONDS))
            if not asked:
                item.add_marker(pytest.mark.skip(reason="needs an engine: make test-stack"))


def prometheus_config(path: Path) -> None:
    """Our Prometheus' configuration, as Debian's older one reads it, and in more of a hurry.

    Having no receiver of OTLP, it scrapes the services' metrics off the collector, labels and all.
    """
    told = yaml.safe_load((ROOT / "observability/prometheus/prometheus.yml").read_text())
    del told["otlp"]
    for job in told["scrape_configs"]:
        job["honor_labels"] = job["job_name"] == "otel-collector"
    told["rule_files"] = ["/etc/bulkhead/prometheus/rules/*.yml"]
    told["global"] = dict.fromkeys(told["global"], "5s")
    path.write_text(yaml.safe_dump(told))
    path.chmod(0o644)  # its user in the container is nobody


def standins() -> list[str]:
    """The override that has the stand-ins, where they are."""
    image = ["docker", "image", "inspect", "standin/python:3.11"]
    there = subprocess.run(image, capture_output=True).returncode == 0
    return _STANDIN if there else []


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The core alone, in a project of its own, and gone afterwards."""
    config = tmp_path_factory.mktemp("prometheus") / "prometheus.yml"
    prometheus_config(config)
    with Api(base_url=f"http://127.0.0.1:{SMALLEST_PORT}", timeout=60) as api:
        environment = {
            "COMPOSE_PROJECT_NAME": "bulkhead-smallest",
            "COMPOSE_PROFILES": "cpu",
            "BULKHEAD_STANDIN_PROMETHEUS": str(config),
            "BULKHEAD_EXAMPLES": "false",
            "BULKHEAD_PORT": str(SMALLEST_PORT),
            "GRAFANA_PORT": str(SMALLEST_PORT + 1),
        }
        running = Stack(["-f", "compose.yaml", *standins()], api, environment)
        running.compose("build", seconds=_START_SECONDS)
        try:
            running.compose("up", "--detach", "--wait", seconds=_START_SECONDS)
            key = running.compose("exec", "-T", "retriever", "cat", "/run/secrets/api-key").strip()
            api.headers["Authorization"] = f"Bearer {key}"
            yield running
        finally:
            running.compose("down", "--volumes")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    config = tmp_path_factory.mktemp("prometheus") / "prometheus.yml"
    prometheus_config(config)
    with Api(base_url=f"http://127.0.0.1:{PORT}", timeout=60) as api:
        # Tests bring their own documents; test_examples.py takes the examples in and out again.
        environment = {"BULKHEAD_STANDIN_PROMETHEUS": str(config), "BULKHEAD_EXAMPLES": "false"}
        running = Stack([*_FILES, *standins()], api, environment)
        running.compose("build", seconds=_START_SECONDS)
        running.compose("up", "--detach", "--wait", seconds=_START_SECONDS)
        key = running.compose("exec", "-T", "retriever", "cat", "/run/secrets/api-key").strip()
        api.headers["Authorization"] = f"Bearer {key}"
        with kept(running):
            yield running
        if not os.environ.get("BULKHEAD_STACK_KEEP"):
            running.compose("down", "--volumes")
