"""Faults of the chart, as Helm renders it with each of its files of values, without a cluster."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from release.chart import CHART, write
from release.manifest import Release
from release.override import built
from supply.finding import Finding
from supply.scan import ScanError
from supply.tools import tool

VALUES: tuple[tuple[str, ...], ...] = (
    (),
    ("values-gpu.yaml",),
    ("values-gpu.yaml", "values-production.yaml"),
)
"""The chart's files of values, as they are given together."""


def example(folder: Path) -> Path:
    """A values-images.yaml in `folder`, as a release writes one."""
    images = {
        part: f"registry.example/bulkhead/{part}@sha256:{number:064x}"
        for number, part in enumerate(sorted(set(built().values())), 1)
    }
    path = folder / "values-images.yaml"
    write(Release("1.2.3", "f" * 40, images), path)
    return path


def faults(chart: Path = CHART) -> Iterator[Finding]:
    """What `helm lint --strict` and Trivy say against it. Raises `ScanError` or `ToolMissing`."""
    for files in VALUES:
        name = f"{chart.name} with {', '.join(files) or 'its defaults'}"
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work, "rendered")
            folder.mkdir()
            given = [
                f"--values={example(Path(work))}",
                *(f"--values={chart / one}" for one in files),
            ]
            linted = _run(tool("helm4"), "lint", "--strict", str(chart), *given)
            for line in linted.stdout.splitlines():
                if line.startswith(("[ERROR]", "[WARNING]")):
                    yield Finding(name, line)
            rendered = _run(tool("helm4"), "template", "bulkhead", str(chart), *given)
            if rendered.returncode:
                if not linted.returncode:
                    yield Finding(name, rendered.stderr.strip().splitlines()[-1])
                continue
            (folder / "chart.yaml").write_text(rendered.stdout)
            yield from _trivy(name, folder)


def _trivy(name: str, folder: Path) -> Iterator[Finding]:
    cache = f"{folder}.cache"
    command = [tool("trivy"), "config", "--quiet", "--format=json", "--skip-check-update"]
    command += ["--severity=HIGH,CRITICAL", f"--cache-dir={cache}", str(folder)]
    done = _run(*command)
    shutil.rmtree(cache, ignore_errors=True)
    if done.returncode:
        raise ScanError(done.stderr.strip().splitlines()[-1])
    for result in json.loads(done.stdout).get("Results") or []:
        for fault in result.get("Misconfigurations") or []:
            where = fault.get("Message") or fault["Title"]
            yield Finding(name, f"{fault['ID']} {where}")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)
