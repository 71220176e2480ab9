"""File reads per second: our filesystem server against the reference one, on the same files.

The reference server, `@modelcontextprotocol/server-filesystem` from npm, speaks stdio only: pipes
to a child process, with no token, no header and no connection to check. Ours speaks HTTP. So ours
is measured three times: over HTTP on a port and on a Unix socket, as it runs in the stack, and its
tools alone over stdio, by the same client and the same transport as the reference server.

All are called by the SDK's client, one call after another, in short rounds that take turns. What
is printed is each server's best round, because a crowded machine only ever takes from a rate, and
the processor time of the server's own process for one call.

    npm install @modelcontextprotocol/server-filesystem
    python -m bench.mcp_files node_modules/.bin/mcp-server-filesystem [--rounds 20]
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import httpx2
import psutil
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.stdio import stdio_server
from starlette.requests import Request

from bulkhead.auth import Principal, Role
from bulkhead.mcp.server import PRINCIPAL, create_server
from bulkhead.tool_tokens import mint, new_signing_key
from mcp_filesystem.beneath import best_opener
from mcp_filesystem.folder import Folders
from mcp_filesystem.settings import FilesystemSettings
from mcp_filesystem.tools import FileTools

PORT = 19390
SIZES = {"1 KiB": 2**10, "16 KiB": 2**14, "60 KiB": 60 * 2**10}
CALLS = 25
WHO = Principal("bench", "default", frozenset(), Role.READER)

Read = Callable[[str], Awaitable[str]]


@dataclass(frozen=True)
class Server:
    """A running server: how to read a file by it, and its process."""

    read: Read
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Processor time that the process has used, in seconds."""
        times = self.process.cpu_times()
        return times.user + times.system


async def ours(stack: AsyncExitStack, folder: Path, *, uds: bool) -> Server:
    """Our server over HTTP, on a port or on a Unix socket."""
    key = new_signing_key()
    name = "socket" if uds else "port"
    (folder / name).write_text(key, encoding="ascii")
    socket = folder / "mcp.sock"
    settings = {
        "ROOT": str(folder / "files"),
        "SIGNING_KEY_FILE": str(folder / name),
        "PORT": str(PORT),
        "REQUESTS_PER_SECOND": "1000000",
        "REQUEST_BURST": "1000000",
        **({"UDS": str(socket)} if uds else {}),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mcp_filesystem",
        env=os.environ | {f"MCP_FILESYSTEM_{name}": value for name, value in settings.items()},
        stdout=asyncio.subprocess.DEVNULL,
    )
    stack.push_async_callback(process.wait)
    stack.callback(process.terminate)
    transport = httpx2.AsyncHTTPTransport(uds=str(socket) if uds else None)
    token = mint(key.encode(), "mcp-filesystem", WHO, 3600)
    headers = {"Authorization": f"Bearer {token}"}
    http = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, headers=headers))
    base = "http://localhost" if uds else f"http://127.0.0.1:{PORT}"
    while True:
        try:
            await http.get(f"{base}/healthz")
            break
        except httpx2.TransportError:
            await asyncio.sleep(0.05)
    client = await stack.enter_async_context(
        Client(streamable_http_client(f"{base}/mcp", http_client=http))
    )

    async def read(name: str) -> str:
        return await _text(client, "read_text", name, "text")

    return Server(read, psutil.Process(process.pid))


async def ours_on_stdio(stack: AsyncExitStack, folder: Path) -> Server:
    """Our tools over stdio, in a child process that runs `serve_stdio`."""
    (folder / "stdio").write_text(new_signing_key(), encoding="ascii")
    client, process = await _child(
        stack, sys.executable, ["-m", "bench.mcp_files", "--serve", str(folder)]
    )

    async def read(name: str) -> str:
        return await _text(client, "read_text", name, "text")

    return Server(read, process)


async def reference(stack: AsyncExitStack, folder: Path, command: str) -> Server:
    """The reference server over stdio."""
    files = str(folder / "files")
    client, process = await _child(stack, command, [files])

    async def read(name: str) -> str:
        return await _text(client, "read_text_file", f"{files}/{name}", "content")

    return Server(read, process)


async def _child(
    stack: AsyncExitStack, command: str, args: list[str]
) -> tuple[Client, psutil.Process]:
    """A client of a new child process that speaks MCP over its pipes, and that process."""
    here = psutil.Process()
    before = set(here.children())
    transport = stdio_client(StdioServerParameters(command=command, args=args))
    client = await stack.enter_async_context(Client(transport))
    (process,) = set(here.children()) - before
    return client, process


async def _text(client: Client, tool: str, path: str, field: str) -> str:
    result = await client.call_tool(tool, {"path": path})
    return str((result.structured_content or {})[field])


async def serve_stdio(folder: Path) -> None:
    """Serve our tools over the pipes of this process, to a caller that nobody checks."""
    settings = FilesystemSettings(root=folder / "files", signing_key_file=folder / "stdio")
    folders = Folders(settings.root, settings.tenant, None, best_opener())
    server = create_server(
        name="mcp-filesystem",
        title="files",
        version="0",
        instructions="",
        tools=FileTools(folders, settings).all(),
        call_seconds=settings.call_seconds,
        max_result_bytes=settings.max_result_bytes,
    )
    request = Request({"type": "http", PRINCIPAL: WHO})

    async def let_in(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        return await call_next(replace(ctx, request=request))

    server.middleware.append(let_in)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


async def measure(server: Server, name: str, text: str) -> tuple[float, float]:
    """Reads per second of one file, whose text must come, and processor seconds for each."""
    started, used = time.perf_counter(), server.cpu_seconds()
    for _ in range(CALLS):
        if await server.read(name) != text:
            raise RuntimeError("a server gave another text")
    return CALLS / (time.perf_counter() - started), (server.cpu_seconds() - used) / CALLS


async def run(command: str, rounds: int) -> None:
    """Measure all servers, one after another in each round, and print the table."""
    line = "The harbour opens at six and closes at ten.\n"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "files").mkdir()
        texts = {name: (line * (size // len(line) + 1))[:size] for name, size in SIZES.items()}
        for name, text in texts.items():
            (folder / "files" / name).write_text(text, encoding="ascii")
        async with AsyncExitStack() as stack:
            servers = {
                "reference, stdio": await reference(stack, folder, command),
                "ours, stdio": await ours_on_stdio(stack, folder),
                "ours, HTTP": await ours(stack, folder, uds=False),
                "ours, Unix socket": await ours(stack, folder, uds=True),
            }
            for server in servers.values():
                await measure(server, "1 KiB", texts["1 KiB"])
            print("reads per second, and the server's processor time for one in ms")
            print(f"{'file':8}" + "".join(f"{name:>22}" for name in servers))
            for name, text in texts.items():
                taken = [
                    [await measure(server, name, text) for server in servers.values()]
                    for _ in range(rounds)
                ]
                cells = [_cell(column) for column in zip(*taken, strict=True)]
                print(f"{name:8}" + "".join(f"{cell:>22}" for cell in cells))


def _cell(rounds: Sequence[tuple[float, float]]) -> str:
    """The best rate, and the mean processor time in ms."""
    return f"{max(rate for rate, _ in rounds):.0f} ({fmean(used for _, used in rounds) * 1000:.2f})"


def main() -> None:
    """Read the command line and measure, or be the server that is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("command", help="The reference server's command.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--serve", action="store_true", help="Serve `command`, a folder: internal.")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve_stdio(Path(arguments.command)))
    else:
        asyncio.run(run(arguments.command, arguments.rounds))


if __name__ == "__main__":
    main()
