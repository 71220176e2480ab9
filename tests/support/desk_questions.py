"""Questions over HTTP that let the scripted model call tools, and what its calls came to."""

import json
from typing import Any

from rig import Api

QUESTION = "Which port does the retriever listen on?"


def asked(api: Api, question: str = QUESTION, **fields: Any) -> dict[str, Any]:
    """The reply to a question with tools."""
    reply = api.ask(question, **{"rag": {"tools": True}} | fields)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def call(tool: str, **arguments: Any) -> tuple[str, str]:
    """As a model writes it."""
    return f"desk__{tool}", json.dumps(arguments)


def outcomes(reply: dict[str, Any]) -> list[tuple[str, str]]:
    """How each call of a tool ended."""
    return [(step["tool"], step["outcome"]) for step in reply["steps"]]
