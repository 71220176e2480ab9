"""File reads per second: our filesystem server against the reference one, on the same files.

Both are called by the SDK's client, one call after another, in short rounds that take turns. What
is printed is each server's best round: a crowded machine only ever takes from a rate. Ours runs as
it does in the stack, over HTTP with a token; the reference server,
`@modelcontextprotocol/server-filesystem` from npm, runs over its own transport, stdio.

    npm install @modelcontextprotocol/server-filesystem
    python scripts/bench_mcp_files.py node_modules/.bin/mcp-server-filesystem [--rounds 20]
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from bulkhead.auth import Principal, Role
from bulkhead.tool_tokens import mint, new_signing_key

PORT = 19390
SIZES = {"1 KiB": 2**10, "16 KiB": 2**14, "60 KiB": 60 * 2**10}
CALLS = 25
WHO = Principal("bench", "default", frozenset(), Role.READER)

Read = Callable[[str], Awaitable[str]]


async def ours(stack: AsyncExitStack, folder: Path, *, uds: bool) -> Read:
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
        result = await client.call_tool("read_text", {"path": name})
        return str((result.structured_content or {})["text"])

    return read


async def reference(stack: AsyncExitStack, folder: Path, command: str) -> Read:
    """The reference server over stdio."""
    files = str(folder / "files")
    transport = stdio_client(StdioServerParameters(command=command, args=[files]))
    client = await stack.enter_async_context(Client(transport))

    async def read(name: str) -> str:
        result = await client.call_tool("read_text_file", {"path": f"{files}/{name}"})
        return str((result.structured_content or {})["content"])

    return read


async def rate(read: Read, name: str, text: str) -> float:
    """Reads per second of one file; the text must be the file's."""
    started = time.perf_counter()
    for _ in range(CALLS):
        if await read(name) != text:
            raise RuntimeError("a server gave another text")
    return CALLS / (time.perf_counter() - started)


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
                "ours, HTTP": await ours(stack, folder, uds=False),
                "ours, Unix socket": await ours(stack, folder, uds=True),
            }
            for read in servers.values():
                await rate(read, "1 KiB", texts["1 KiB"])
            print(f"{'file':8}" + "".join(f"{server:>20}" for server in servers) + "   HTTP/stdio")
            for name, text in texts.items():
                taken = [
                    [await rate(read, name, text) for read in servers.values()]
                    for _ in range(rounds)
                ]
                best = [max(column) for column in zip(*taken, strict=True)]
                shown = "".join(f"{one:20.0f}" for one in best)
                print(f"{name:8}{shown}{best[1] / best[0]:13.2f}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("command", help="The reference server's command.")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.command, arguments.rounds))


if __name__ == "__main__":
    main()
