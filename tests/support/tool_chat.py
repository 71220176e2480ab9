"""Chats that make the scripted model call real tool servers."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from compose_stack import Stack
from rig import PORTS

from diagnosis.project import project, variables

READ = ("filesystem__read_text", {"path": "examples/documents/glossary.md", "limit": 3})
QUERY = (
    "database__query",
    {"sql": "SELECT count(*) AS number FROM harbour.services", "max_rows": 1},
)
_NETWORK = f"{project(variables())}_retriever-llm"


@contextmanager
def scripted_model(stack: Stack) -> Iterator[None]:
    """A model at `llm` that calls the tools which its question names."""
    stack.until_ready()
    stack.api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
    model = stack.container("llm-cpu")
    subprocess.run(["docker", "network", "disconnect", _NETWORK, model], check=True)
    try:
        stack.compose("up", "--detach", "--wait", "--no-deps", "llm-scripted")
        stack.until(lambda: "scripted" in stack.api.get("/v1/models").text, 120)
        yield
    finally:
        stack.compose("rm", "--force", "--stop", "llm-scripted")
        names = ["--alias", "llm", "--alias", "llm-cpu"]
        subprocess.run(["docker", "network", "connect", *names, _NETWORK, model], check=True)


def chat(stack: Stack, *calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """The reply to a question that makes the model call these tools."""
    orders = "\n".join(f"DO: {name} {json.dumps(arguments)}" for name, arguments in calls)
    reply = stack.api.ask(f"Which port does it listen on?\n{orders}", rag={"tools": True})
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


def outcomes(reply: dict[str, Any]) -> list[tuple[str, str]]:
    """How each call of a tool in a reply ended."""
    return [(f"{step['server']}__{step['tool']}", step["outcome"]) for step in reply["steps"]]
