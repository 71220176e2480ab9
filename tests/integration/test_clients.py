"""The clients that people use, unchanged: each asks, streams and reads citations where it can."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import client_packages
import pytest
from rig import KEY, Api
from scripted_llm import ScriptedLLM

ANSWER = "The retriever listens on port 8080."
MARKED = f"{ANSWER} [1]"


def got(api: Api, llm: ScriptedLLM, *command: str | Path) -> dict[str, Any]:
    """What each client of a script got."""
    llm.say(ANSWER)
    told = {
        "BASE_URL": f"{api.base_url}/v1".replace("//v1", "/v1"),
        "API_KEY": KEY,
        "MODEL": "scripted",
        "QUESTION": "Which port does the retriever listen on?",
    }
    done = subprocess.run(
        command, env={**os.environ, **told}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(client: str, told: dict[str, Any], answers: int, quotes: Sequence[Any]) -> None:
    """It got the answer so many times, whole and streamed, and these quotes."""
    assert "failed" not in told, f"{client}: {told['failed']}"
    assert [told["asked"], *told["streamed"]] == [MARKED] * answers, client
    assert told.get("quotes", []) == quotes, client


@pytest.mark.timeout(1200)
def test_clients_in_python_ask_stream_and_read_citations(filled: Api, llm: ScriptedLLM) -> None:
    clients = got(filled, llm, client_packages.python(), client_packages.WANTED / "clients.py")
    assert clients.pop("openai_embeddings") == {"same": True, "length": 64}
    check("openai_chat", clients.pop("openai_chat"), 3, [[ANSWER]] * 2)
    check("openai_responses", clients.pop("openai_responses"), 3, [[ANSWER]] * 3)
    check("langchain", clients.pop("langchain"), 4, [[ANSWER]])
    check("llama_index", clients.pop("llama_index"), 3, [[ANSWER]] * 2)
    check("pydantic_ai", clients.pop("pydantic_ai"), 4, [[ANSWER]])
    check("openai_agents", clients.pop("openai_agents"), 4, [[ANSWER]])
    assert not clients


@pytest.mark.timeout(1200)
def test_clients_in_node_ask_stream_and_read_citations(filled: Api, llm: ScriptedLLM) -> None:
    folder = client_packages.node()
    script = shutil.copy(client_packages.WANTED / "clients.mjs", folder)
    clients = got(filled, llm, "node", script)
    check("openai", clients.pop("openai"), 5, [[ANSWER]] * 4)
    vercel = clients.pop("vercelAi")
    check("vercelAi", vercel, 4, [])
    assert vercel["sources"] == [[], [], ["ports.md"], ["ports.md"]]
    assert not clients
