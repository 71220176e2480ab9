"""Our images on a base without a shell, as hardened ones are."""

import subprocess
from collections.abc import Iterator

import pytest

from supply.finding import ROOT

BASE = "bulkhead/shellless-standin"
PARTS = {
    "ingress": ("services/ingress", "ingress"),
    "mcp-filesystem": ("mcp_tools/filesystem", "mcp_filesystem.main"),
    "retriever": ("services/retriever", "retriever.main"),
}


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    built = docker("build", "--quiet", "--tag", BASE, "--build-arg",
                   "PYTHON_IMAGE=standin/python:3.11", "tests/stack/shellless")  # fmt: skip
    assert built.returncode == 0, built.stderr
    yield BASE
    docker("rmi", "--force", BASE)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", PARTS)
def test_an_image_runs_without_a_shell(base: str, part: str) -> None:
    folder, module = PARTS[part]
    tag = f"bulkhead/{part}-shellless"
    try:
        built = docker("build", "--quiet", "--tag", tag, "--file", f"{folder}/Dockerfile",
                       "--build-arg", "PYTHON_IMAGE=standin/python:3.11",
                       "--build-arg", f"RUNTIME_IMAGE={base}", ".")  # fmt: skip
        assert built.returncode == 0, built.stderr
        run = ("run", "--rm", "--read-only", "--network=none", "--tmpfs=/tmp")
        ran = docker(*run, tag, "python", "-c", f"import {module}; print('runs')")
        assert ran.stdout == "runs\n", ran.stderr
        shell = docker(*run, "--entrypoint=sh", tag, "-c", "true")
        assert shell.returncode == 127, shell  # not there to be run
    finally:
        docker("rmi", "--force", tag)
