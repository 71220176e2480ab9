"""The stack of compose.yaml on a real engine, and the retriever behind the published port."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2
from compose_file import ROOT
from rig import Api

PORT, GRAFANA_PORT = 19700, 19701
SMALLEST_PORT = 19710

_ASK = """
import base64, json, sys, urllib.error, urllib.request
answers = []
for url, body, headers in json.load(sys.stdin):
    request = urllib.request.Request(url, body.encode() if body else None, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            status, told = reply.status, reply.read()
    except urllib.error.HTTPError as error:
        status, told = error.code, error.read()
    answers.append([status, base64.b64encode(told).decode()])
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Asked:
    """A request; with a body it is a `POST`."""

    url: str
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


@dataclass
class Stack:
    """Compose, and the retriever behind the published port."""

    files: list[str]
    api: Api
    environment: dict[str, str]

    def compose(self, *command: str, seconds: float = 120, said: str = "") -> str:
        """`docker compose …`, told `said`; its output. Fails with what it said."""
        ports = {"BULKHEAD_PORT": str(PORT), "GRAFANA_PORT": str(GRAFANA_PORT)}
        done = subprocess.run(
            ["docker", "compose", *self.files, *command],
            cwd=ROOT,
            env=os.environ | ports | self.environment | {"DOCKER_BUILDKIT": "1"},
            input=said,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return self.compose("ps", "--all", "--quiet", service).strip()

    def log(self, service: str) -> list[str]:
        """What a service's container printed, line by line, without Compose's escapes."""
        command = ["docker", "logs", self.container(service)]
        return subprocess.check_output(command, text=True).splitlines()

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine says of a service's container."""
        told = subprocess.check_output(["docker", "inspect", self.container(service)])
        facts: dict[str, Any] = json.loads(told)[0]
        return facts

    def ask(self, service: str, *asked: Asked) -> list[Answer]:
        """Requests made from a service's own place on its networks, by a container that joins it.

        Nothing of the service's image is needed for it, as there may be nothing in it.
        """
        command = ["docker", "run", "--rm", "--interactive", "--entrypoint=python3"]
        command += [f"--network=container:{self.container(service)}"]
        command += [self.inspect("ingress")["Image"], "-c", _ASK]
        said = json.dumps([[one.url, one.body, one.headers] for one in asked])
        done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        return [Answer(status, base64.b64decode(body)) for status, body in json.loads(done.stdout)]

    def kill(self, service: str) -> None:
        """End a service's main process as a crash would, so that the engine starts it again."""
        pid = self.inspect(service)["State"]["Pid"]
        os.kill(pid, 9)

    def readiness(self) -> dict[str, Any]:
        """`/readyz`, whatever its status."""
        told: dict[str, Any] = self.api.get("/readyz").json()
        return told

    def until_ready(self, seconds: float = 400) -> None:
        """Wait until every part is up again, by itself."""
        self.until(lambda: self.readiness()["status"] == "ready", seconds)

    def until(self, true: Callable[[], bool], seconds: float) -> None:
        """Wait until `true()`; no answer, or one that is not the retriever's, counts as not yet."""
        deadline, last = time.monotonic() + seconds, ""
        while time.monotonic() < deadline:
            try:
                if true():
                    return
            except (httpx2.HTTPError, KeyError, ValueError) as error:
                last = repr(error)
            time.sleep(0.5)
        raise AssertionError(f"not within {seconds:.0f} s {last}")


def queried(stack: Stack, *exprs: str) -> list[list[Any]]:
    """What Prometheus says to each."""
    url = "http://localhost:9090/api/v1/query"
    asked = (Asked(url, urlencode({"query": expr})) for expr in exprs)
    replies = [json.loads(answer.body) for answer in stack.ask("prometheus", *asked)]
    assert [reply["status"] for reply in replies] == ["success"] * len(exprs), replies
    return [reply["data"]["result"] for reply in replies]
