"""Run MCP's conformance suite and the MCP Inspector against a tool server, or the retriever.

Of the suite's scenarios those are run that a server with tools of its own can pass. The others call
tools, resources and prompts that only the suite's own example server has.

The suite sends no token and a browser's `Origin`. So it calls through a proxy that adds the token
and gives its own name, in `Host` and `Origin`, as the server's; every other name it passes on as it
came. The server must allow its own address as an origin, which it does not by itself:
`MCP_FILESYSTEM_ALLOWED_ORIGINS=http://127.0.0.1:8090`. Needs Node.js 22.

    npm install @modelcontextprotocol/conformance @modelcontextprotocol/inspector
    python -m bench.mcp_conformance node_modules/.bin http://127.0.0.1:8090 TOKEN_FILE

Of the retriever the token is a key, and the setting `RETRIEVER_CORS_ORIGINS=http://127.0.0.1:8080`.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PORT = 19391
SCENARIOS = ("server-initialize", "ping", "tools-list", "dns-rebinding-protection")
_NOT_PASSED_ON = {"connection", "content-length", "transfer-encoding", "keep-alive", "date"}


def proxy(server: str, token: str) -> Starlette:
    """Passes each request on to `server`, with the token."""
    here, there = f"127.0.0.1:{PORT}", urlsplit(server).netloc
    client = httpx2.AsyncClient(base_url=server, timeout=30)

    async def forward(request: Request) -> Response:
        headers = {name: value for name, value in request.headers.items() if name != "connection"}
        for name in ("host", "origin"):
            if name in headers:
                headers[name] = re.sub(f"{re.escape(here)}$", there, headers[name])
        headers["authorization"] = f"Bearer {token}"
        reply = await client.request(
            request.method, request.url.path, headers=headers, content=await request.body()
        )
        kept = {k: v for k, v in reply.headers.items() if k not in _NOT_PASSED_ON}
        return Response(reply.content, reply.status_code, kept)

    methods = ["GET", "POST", "DELETE"]
    return Starlette(routes=[Route("/{path:path}", forward, methods=methods)])


def conformance(bin_folder: Path, scenario: str) -> bool:
    """Run one scenario; prints its checks and says whether all passed."""
    done = subprocess.run(
        [
            *(bin_folder / "conformance", "server", "--scenario", scenario),
            *("--url", f"http://127.0.0.1:{PORT}/mcp"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = re.search(r"Passed: .*", done.stdout)
    print(f"conformance {scenario}: {found[0] if found else done.stdout + done.stderr}")
    return done.returncode == 0 and found is not None


def inspector(bin_folder: Path, server: str, token: str) -> bool:
    """List the tools by the Inspector's client, told of the server as `mcp_tools/mcp.json` does."""
    headers = {"Authorization": f"Bearer {token}"}
    entry = {"type": "http", "url": f"{server}/mcp", "headers": headers}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:  # 0600: it holds the token
        json.dump({"mcpServers": {"tools": entry}}, config)
        config.flush()
        done = subprocess.run(
            [
                *(bin_folder / "mcp-inspector", "--cli", "--config", config.name),
                *("--server", "tools", "--method", "tools/list"),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    if done.returncode:
        print(f"inspector tools/list: {done.stderr}")
        return False
    names = [tool["name"] for tool in json.loads(done.stdout)["tools"]]
    print(f"inspector tools/list: {', '.join(names)}")
    return bool(names)


def main() -> None:
    """Read the command line, run everything, and end with 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("bin_folder", type=Path, help="npm's node_modules/.bin")
    parser.add_argument("server", help="The server's address, without /mcp.")
    parser.add_argument("token_file", type=Path)
    arguments = parser.parse_args()
    token = arguments.token_file.read_text(encoding="utf-8").strip()
    config = uvicorn.Config(proxy(arguments.server, token), port=PORT, log_level="warning")
    running = uvicorn.Server(config)
    threading.Thread(target=running.run, daemon=True).start()
    while not running.started:
        time.sleep(0.05)
    passed = [conformance(arguments.bin_folder, scenario) for scenario in SCENARIOS]
    passed.append(inspector(arguments.bin_folder, arguments.server, token))
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
