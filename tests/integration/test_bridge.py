"""The bridge: a stdio server behind the door of every tool server, held within bounds."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from desk import write_list
from serving import free_port, until
from tool_http import tool_serving

from bulkhead.auth import Principal, Role
from bulkhead.tool_tokens import new_signing_key
from mcp_bridge.main import create
from mcp_bridge.settings import BridgeSettings
from retriever.clients.mcp import SELF, McpServer, ToolServerError
from retriever.tool_servers import read_tool_servers

pytestmark = pytest.mark.timeout(1200)  # A server that is ended has seconds for it, several times.
ANN = Principal("ann", "default", frozenset(), Role.READER)
UNRULY = Path(__file__).parents[1] / "support" / "unruly.py"
SECONDS = 60.0


@asynccontextmanager
async def bridged(
    folder: Path, *command: str, **told: Any
) -> AsyncIterator[tuple[McpServer, BridgeSettings]]:
    """The retriever's client of a bridge to `command`, by default to the unruly server."""
    key = folder / "key"
    key.write_text(new_signing_key())
    settings = BridgeSettings.model_validate(
        {
            "name": "unruly",
            "command": command or (sys.executable, str(UNRULY)),
            "folder": folder,
            "signing_key_file": key,
            "port": free_port(),
            "restarts": 50,
        }
        | told
    )
    with tool_serving(create(settings), settings) as url:
        auth = {"type": "signed", "key_file": "key"}
        listed = write_list(folder, {"name": "unruly", "url": f"{url}/mcp", "auth": auth})
        (entry,) = read_tool_servers(listed)
        server = McpServer(entry, 4 * 2**20)
        yield server, settings
        await server.close()


async def up(server: McpServer) -> None:
    """Wait until the server behind the bridge is there."""
    async with asyncio.timeout(240):
        while True:
            try:
                return await server.check()
            except ToolServerError:
                await asyncio.sleep(0.05)


async def answering(server: McpServer) -> None:
    """Wait until the server behind the bridge answers a call."""
    async with asyncio.timeout(240):
        while True:
            if await said(server, "echo", text="here") == ("here", False):
                return
            await asyncio.sleep(0.05)


async def said(server: McpServer, tool: str, **arguments: str) -> tuple[str, bool]:
    answer = await server.call(ANN, tool, arguments, SECONDS)
    return answer.text, answer.is_error


async def test_a_stdio_servers_tools_are_listed_and_called_through_the_door(tmp_path: Path) -> None:
    async with bridged(tmp_path) as (server, settings):
        await up(server)
        offered = await server.definitions(SELF, SECONDS)
        assert "echo" in offered and "IMPORTANT" in offered["echo"]["description"]
        assert await said(server, "echo", text="Grüße 1") == ("Grüße 1", False)
        many = await asyncio.gather(*(said(server, "echo", text=str(n)) for n in range(4)))
        assert many == [(str(n), False) for n in range(4)]
        text, failed = await said(server, "refuse")
        assert failed and "no tools/call here" in text
        url = f"http://127.0.0.1:{settings.port}/mcp"
        assert httpx2.post(url, json={}, timeout=60).status_code == 401


async def test_what_the_bridge_is_told_does_not_reach_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_BRIDGE_SIGNING_KEY_FILE", "/nowhere")
    monkeypatch.setenv("OTHERS_TOKEN", "x")
    async with bridged(tmp_path, environment={"ZONE": "UTC"}) as (server, _):
        await up(server)
        told = json.loads((await said(server, "environment"))[0])
    assert told.pop("folder") == str(tmp_path) == told["HOME"]
    assert {"PATH", "HOME", "LANG", "ZONE"} <= set(told) <= {
        "PATH", "HOME", "LANG", "ZONE", "LC_CTYPE",
    }  # fmt: skip


async def test_a_server_that_crashes_is_told_and_is_there_again(tmp_path: Path) -> None:
    async with bridged(tmp_path) as (server, _):
        for tool, words in (
            ("crash", "ended"),
            ("one_line", "said more than 1048576 bytes in one line"),
            ("many_lines", "said more than 4194304 bytes unasked"),
            ("junk", "said too much that is no message"),
        ):
            await up(server)
            text, failed = await said(server, tool)
            assert failed and "the server behind the bridge" in text and words in text, tool
            await up(server)
            assert await said(server, "echo", text=tool) == (tool, False)


async def test_a_server_that_hangs_is_ended_and_one_that_is_slow_is_not(tmp_path: Path) -> None:
    async with bridged(tmp_path, call_seconds=2) as (server, _):
        await up(server)
        text, failed = await said(server, "hang")
        assert failed and "took longer than 2 s" in text
        await answering(server)
        with pytest.raises(ToolServerError):  # its caller gives up before the bridge does
            await server.call(ANN, "hang", {}, 0.5)
        await answering(server)


async def test_a_result_over_the_bound_is_refused_and_lines_of_no_message_are_let_be(
    tmp_path: Path,
) -> None:
    async with bridged(tmp_path, sys.executable, str(UNRULY), "junk") as (server, settings):
        await up(server)
        text, failed = await said(server, "big")
        assert failed and f"larger than {settings.max_result_bytes} bytes" in text
        assert await said(server, "echo", text="fine") == ("fine", False)


async def test_what_the_server_started_ends_with_the_bridge(tmp_path: Path) -> None:
    async with bridged(tmp_path) as (server, _):
        await up(server)
        pid = int((await said(server, "child"))[0])
        assert psutil.pid_exists(pid)

    def gone() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    until(gone)


async def test_a_server_that_cannot_run_is_told_and_not_started_without_end(
    tmp_path: Path,
) -> None:
    log = tmp_path / "starts"
    ends = tmp_path / "ends.sh"
    ends.write_text(f"#!/bin/sh\necho >> {log}\n")
    ends.chmod(0o755)
    for command, words in (
        (("/nowhere/at-all",), "cannot be started: No such file or directory"),
        ((str(ends),), "ended"),
        ((sys.executable, "-c", "input(); print('{}'); input()"), "did not say what it is"),
    ):
        told: dict[str, Any] = {"restarts": 2, "start_seconds": 3}
        async with bridged(tmp_path, *command, **told) as (server, settings):
            detail = ""
            async with asyncio.timeout(120), httpx2.AsyncClient() as http:
                while words not in detail:
                    reply = await http.get(f"http://127.0.0.1:{settings.port}/readyz")
                    assert reply.status_code == 503
                    detail = reply.json()["parts"]["server"].get("detail", "")
                    await asyncio.sleep(0.1)
            with pytest.raises(ToolServerError):
                await server.definitions(SELF, SECONDS)
    assert len(log.read_text()) <= 2


def test_a_setting_that_is_wrong_ends_in_one_line(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("short")
    told = {"MCP_BRIDGE_NAME": "clock", "MCP_BRIDGE_SIGNING_KEY_FILE": str(key)}
    for more, words in (
        ({}, "MCP_BRIDGE_COMMAND: Field required"),
        ({"MCP_BRIDGE_COMMAND": "[]"}, "MCP_BRIDGE_COMMAND: List should have at least 1"),
        ({"MCP_BRIDGE_COMMAND": '["true"]'}, "the signing key in key is too short"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "mcp_bridge"],
            env={**os.environ, **told, **more},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1 and words in done.stderr, done.stderr
