"""Brings the stack up once for all tests here: `make test-stack`.

Where the stand-ins of base images are there, the override uses them; else compose.yaml as it is.
BULKHEAD_STACK_KEEP=1 leaves the stack up afterwards; one that is up is brought up to date.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from compose_stack import PORT, Stack
from rig import Api

_HERE = Path(__file__).parent
_FILES = ["-f", "compose.yaml", "-f", "tests/stack/compose.scripted.yaml"]
_STANDIN = ["-f", "tests/stack/compose.standin.yaml"]
_START_SECONDS = 900


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """These tests run when they are asked for by path, and never as part of the whole."""
    asked = any("tests/stack" in str(argument) for argument in config.args)
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.timeout(2 * _START_SECONDS))
            if not asked:
                item.add_marker(pytest.mark.skip(reason="needs an engine: make test-stack"))


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    image = ["docker", "image", "inspect", "standin/python:3.11"]
    there = subprocess.run(image, capture_output=True).returncode == 0
    with Api(base_url=f"http://127.0.0.1:{PORT}", timeout=60) as api:
        running = Stack([*_FILES, *(_STANDIN if there else [])], api)
        running.compose("build", seconds=_START_SECONDS)
        running.compose("up", "--detach", "--wait", seconds=_START_SECONDS)
        key = running.compose("exec", "-T", "retriever", "cat", "/run/secrets/api-key").strip()
        api.headers["Authorization"] = f"Bearer {key}"
        yield running
        if not os.environ.get("BULKHEAD_STACK_KEEP"):
            running.compose("down", "--volumes")
