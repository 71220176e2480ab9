"""From a clone to an own tool server that the agent calls: what docs/tools.md says, timed.

    cd scripts && ../.venv/bin/python -m drills.tool_server [--name weather] [--keep]

It clones this repository as it was last committed, sets it up, makes a server, sets it up again,
starts the embedded stack and asks. The model is a scripted one: whether a real one calls the tool
is its own affair. Packages come from the registry or from the caches of this machine, so a first
run takes longer. Exit codes: 0 the agent answered from the new tool, 1 a step failed.
"""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from client.screen import terminal
from drills.steps import Failed, drill, free_ports, run, running

SAID = "The server {name} was made from the template and answers the agent."
_START_SECONDS = 600
_PARTS = ("EMBEDDING", "RETRIEVER", "MCP_FILESYSTEM", "MCP_DATABASE", "MCP_DATABASE_POSTGRES")


def main(
    name: Annotated[str, typer.Option(help="The server's name.")] = "weather",
    keep: Annotated[bool, typer.Option(help="Leave the clone.")] = False,
) -> None:
    """Clone, make a server, ask it, and show the times."""
    with drill(keep) as done:
        with done.step(f"new_tool_server.py {name}"):
            run(done.clone, ".venv/bin/python", "scripts/new_tool_server.py", name)
        done.set_up("make setup, again")
        with _model(name) as llm, done.step("make serve, until it answers from the tool"):
            answer = _served_and_asked(done.clone, name, llm)
        terminal().print(answer)


def _served_and_asked(clone: Path, name: str, llm: str) -> str:
    """The agent's answer, cited from the new tool, by a stack that is ended again."""
    own = f"MCP_{name.replace('-', '_').upper()}"
    parts = (*_PARTS, own)
    ports = dict(zip(parts, free_ports(len(parts)), strict=True))
    told = {f"{part}_PORT": str(port) for part, port in ports.items()}
    told |= {"RETRIEVER_LLM_URL": f"{llm}/v1", "RETRIEVER_RELEVANCE": "-1"}
    url = f"http://127.0.0.1:{ports['RETRIEVER']}"
    with running(clone, told, "make", "serve") as serving:
        _await(url, serving, clone / "log")
        return _asked(url, (clone / ".data/api-key").read_text().strip(), name)


def _await(url: str, serving: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if serving.poll() is not None:
            raise Failed(f"make serve ended: {log.read_text()[-800:]}")
        try:
            if httpx2.get(f"{url}/readyz", timeout=5).json()["status"] == "ready":
                return
        except (httpx2.HTTPError, ValueError):
            pass
        time.sleep(0.2)
    raise Failed(f"the stack was not ready: {log.read_text()[-800:]}")


def _asked(url: str, key: str, name: str) -> str:
    body = {
        "messages": [{"role": "user", "content": f"What was the server {name} made from?"}],
        "rag": {"tools": [f"{name}__look_up"]},
    }
    with httpx2.Client(timeout=120, headers={"Authorization": f"Bearer {key}"}) as http:
        document = {"text": "The harbour opens at seven.", "source": "drill.md"}
        http.post(f"{url}/v1/documents", json={"documents": [document]}).raise_for_status()
        deadline = time.monotonic() + _START_SECONDS
        reply: dict[str, Any] = {}
        while time.monotonic() < deadline:
            reply = http.post(f"{url}/v1/chat/completions", json=body).json()
            steps = reply.get("steps", [])
            if [(one["tool"], one["outcome"]) for one in steps] == [("look_up", "done")]:
                cited = [one["tool"]["server"] for one in reply["citations"] if one["tool"]]
                if cited == [name]:
                    return str(reply["choices"][0]["message"]["content"])
            time.sleep(0.5)
    raise Failed(f"the agent did not answer from the tool: {json.dumps(reply)[:800]}")


@contextmanager
def _model(name: str) -> Iterator[str]:
    """A model server that calls the new tool, and then says what it read."""
    call = {"name": f"{name}__look_up", "arguments": json.dumps({"words": "template"})}
    delta = {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": call}]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            model = {"id": "scripted", "object": "model", "max_model_len": 8192}
            self._reply("application/json", json.dumps({"object": "list", "data": [model]}))

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            messages = asked.get("messages", [{}])
            read = messages[-1].get("role") == "tool" or not asked.get("tools")
            said = {"content": SAID.format(name=name)} if read else delta
            usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
            chunks = [(said, None), ({}, "stop" if read else "tool_calls")]
            lines = [
                "data: "
                + json.dumps(
                    {
                        "id": "x", "object": "chat.completion.chunk", "created": 0,
                        "model": "scripted", "usage": usage if reason else None,
                        "choices": [{"index": 0, "delta": one, "finish_reason": reason}],
                    }
                )
                for one, reason in chunks
            ]  # fmt: skip
            self._reply("text/event-stream", "\n\n".join([*lines, "data: [DONE]", ""]))

        def _reply(self, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


if __name__ == "__main__":
    typer.run(main)
