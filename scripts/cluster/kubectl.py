"""kubectl, as far as the check asks it."""

import json
import subprocess
from typing import Any

from supply.tools import tool

Json = dict[str, Any]


class ClusterError(Exception):
    """kubectl did not do what it was asked, in words."""


class Kubectl:
    """kubectl in one namespace, of the current context or another."""

    def __init__(self, namespace: str, context: str = "") -> None:
        """Raises `ToolMissing` where there is no kubectl."""
        self.namespace = namespace
        self._command = [tool("kubectl"), f"--namespace={namespace}"]
        if context:
            self._command.append(f"--context={context}")

    def get(self, kind: str, selector: str = "") -> list[Json]:
        """The objects of a kind. Raises `ClusterError`."""
        more = [f"--selector={selector}"] if selector else []
        found: list[Json] = json.loads(self._run("get", kind, "--output=json", *more))["items"]
        return found

    def labels(self) -> dict[str, str]:
        """The namespace's labels. Raises `ClusterError`."""
        told = json.loads(self._run("get", "namespace", self.namespace, "--output=json"))
        labels: dict[str, str] = told["metadata"].get("labels") or {}
        return labels

    def create(self, pod: Json) -> None:
        """Make an object. Raises `ClusterError`."""
        self._run("create", "--filename=-", given=json.dumps(pod))

    def delete(self, selector: str) -> None:
        """Remove the pods with these labels, without waiting. Raises `ClusterError`."""
        self._run("delete", "pods", f"--selector={selector}", "--wait=false", "--ignore-not-found")

    def logs(self, pod: str) -> str:
        """What a pod printed. Raises `ClusterError`."""
        return self._run("logs", pod)

    def refuses(self, pod: Json) -> str:
        """Why the server would not take this pod; empty where it would. Nothing is made."""
        try:
            self._run("create", "--filename=-", "--dry-run=server", given=json.dumps(pod))
        except ClusterError as error:
            return str(error)
        return ""

    def _run(self, *arguments: str, given: str | None = None) -> str:
        done = subprocess.run(
            [*self._command, *arguments], input=given, capture_output=True, text=True
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            raise ClusterError(f"kubectl {arguments[0]}: {said[-1]}")
        return done.stdout
