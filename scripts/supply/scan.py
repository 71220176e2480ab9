"""Secrets and faults of configuration in the files of the tree, without a network.

Trivy reads Dockerfiles and looks for secrets, zizmor reads the workflows.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from supply.finding import ROOT, Finding, tracked
from supply.tools import tool

SECRETS = "deploy/supply/trivy-secret.yaml"
IGNORES = "deploy/supply/trivyignore.yaml"
"""Trivy's own file of exceptions, each with a path and a statement."""


class ScanError(Exception):
    """A scanner did not end its work."""


def scan(root: Path) -> Iterator[Finding]:
    """Secrets of any grade, and misconfigurations that are high or critical. Raises `ScanError`.

    Only what git would commit is looked at, in a copy: a `.data` beside it has real keys.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for path in tracked(root):
            goal = copy / path.relative_to(root)
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, goal)
        command = [tool("trivy"), "filesystem", "--scanners", "misconfig,secret", "--quiet"]
        command += ["--format", "json", "--offline-scan", "--skip-db-update"]
        command += ["--skip-check-update", "--skip-version-check", "--cache-dir", f"{folder}.cache"]
        command += ["--secret-config", str(ROOT / SECRETS)]
        command += ["--skip-dirs", f"{copy}/tests/stack"]  # stand-ins, never released
        if (ignores := root / IGNORES).exists():
            command += ["--ignorefile", str(ignores)]
        try:
            done = subprocess.run([*command, str(copy)], capture_output=True, text=True)
        finally:
            shutil.rmtree(f"{folder}.cache", ignore_errors=True)
    if done.returncode:
        raise ScanError(done.stderr.strip().splitlines()[-1])
    for result in json.loads(done.stdout).get("Results") or []:
        for secret in result.get("Secrets") or []:
            place = f"{result['Target']}:{secret['StartLine']}"
            yield Finding(place, f"a secret: {secret['Title']}")  # never its text
        for fault in result.get("Misconfigurations") or []:
            if fault["Severity"] in {"HIGH", "CRITICAL"}:
                yield Finding(result["Target"], f"{fault['ID']} {fault['Title']}")


def workflows(root: Path) -> Iterator[Finding]:
    """Faults of the workflows that zizmor is sure of. Raises `ScanError`."""
    command = [tool("zizmor"), "--offline", "--no-progress", "--format=json"]
    command += [str(root / ".github")]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)
    except ValueError as error:
        said = done.stderr.strip().splitlines() or ["zizmor said nothing"]
        raise ScanError(said[-1]) from error
    for one in found:
        place = one["locations"][0]["symbolic"]["key"]["Local"]["verbatim_path"]
        yield Finding(str(Path(place).relative_to(root)), f"{one['ident']}: {one['desc']}")
