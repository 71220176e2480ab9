"""The server behind the bridge: started, watched, and started anew within bounds."""

import asyncio
import json
import logging
import os
import time
from collections import deque
from typing import Any

import mcp_types
from mcp import Client
from mcp.shared.exceptions import MCPError

from bulkhead.mcp.tools import ToolError
from mcp_bridge.settings import BridgeSettings
from mcp_bridge.stdio import Bounds, Broken, Stdio

logger = logging.getLogger(__name__)

_PAGES = 20
_PROBE_SECONDS = 5.0
_WINDOW = 60.0
_PAUSE = 1.0
"""Seconds before a start that follows an end."""


class Child:
    """One stdio server, shared by all callers: it knows nothing of who asks."""

    def __init__(self, settings: BridgeSettings) -> None:
        self._settings = settings
        self._places = asyncio.Semaphore(settings.calls_at_once)
        self._client: Client | None = None
        self._stdio: Stdio | None = None
        self._probing: asyncio.Task[None] | None = None
        self._starts: deque[float] = deque(maxlen=settings.restarts)
        self.came_up = asyncio.Event()
        """It was there at least once."""
        self._schemas: dict[str, dict[str, Any]] = {}
        self._why = "is not started yet"

    @property
    def state(self) -> str:
        """Why it cannot be asked; empty while it can."""
        if self._stdio is not None and self._stdio.ended.is_set():
            return self._stdio.fault or "ended"
        return self._why

    async def run(self) -> None:
        """Keep the server running until cancelled."""
        while True:
            await self._start_is_due()
            self._starts.append(time.monotonic())
            stdio = Stdio(
                self._settings.command,
                self._environment(),
                self._settings.folder,
                Bounds(
                    self._settings.max_line_bytes,
                    self._settings.max_unasked_bytes,
                    self._settings.max_junk_lines,
                ),
            )
            try:
                await self._one_run(stdio)
            except OSError as error:
                stdio.fault = f"cannot be started: {error.strerror}"
            except Broken as error:
                stdio.fault = str(error)
            except Exception as error:  # whatever a server can make the SDK raise is its failure
                stdio.fault = stdio.fault or f"does not speak MCP ({type(error).__name__})"
            finally:
                self._why = stdio.fault or "ended"
                self._client = self._stdio = None
            logger.warning("the server is gone", extra={"reason": stdio.fault})

    async def _one_run(self, stdio: Stdio) -> None:
        starting = asyncio.timeout(self._settings.start_seconds)
        try:
            async with starting, Client(stdio.streams(), cache=None) as client:
                self._client, self._stdio, self._why = client, stdio, ""
                starting.reschedule(None)
                self.came_up.set()
                logger.info("the server is up")
                await stdio.ended.wait()
        except Exception as error:
            if starting.expired():
                seconds = self._settings.start_seconds
                raise Broken(f"did not say what it is within {seconds:g} s") from error
            raise

    async def _start_is_due(self) -> None:
        """Wait, so that there are no more starts in a minute than allowed."""
        if not self._starts:
            return
        await asyncio.sleep(_PAUSE)
        if len(self._starts) == self._starts.maxlen:
            left = _WINDOW - (time.monotonic() - self._starts[0])
            if left > 0:
                logger.warning("too many starts", extra={"waits_seconds": round(left, 1)})
                await asyncio.sleep(left)

    def _environment(self) -> dict[str, str]:
        """What the server is told: nothing of what the bridge is."""
        folder = str(self._settings.folder)
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": path, "HOME": folder, "LANG": "C.UTF-8", **self._settings.environment}

    async def tools(self) -> list[mcp_types.Tool]:
        """What the server offers. Raises `ToolError` while it cannot be asked."""
        client = self._up()
        found: list[mcp_types.Tool] = []
        try:
            cursor: str | None = None
            for _ in range(_PAGES):
                page = await client.list_tools(cursor=cursor)
                found += page.tools
                if (cursor := page.next_cursor) is None or len(found) > self._settings.max_tools:
                    break
        except MCPError as error:
            raise self._failed(error) from error
        if len(found) > self._settings.max_tools:
            raise ToolError(f"the server offers more than {self._settings.max_tools} tools")
        self._schemas = {tool.name: tool.input_schema for tool in found}
        return found

    def schema_of(self, tool: str) -> dict[str, Any] | None:
        """What `tool` takes, where it was listed before."""
        return self._schemas.get(tool)

    async def call(self, tool: str, arguments: dict[str, Any]) -> mcp_types.CallToolResult:
        """The server's answer. Raises `ToolError` where it fails, ends or takes too long."""
        async with self._places:
            client, stdio = self._up(), self._stdio
            try:
                async with asyncio.timeout(self._settings.call_seconds):
                    return await client.call_tool(tool, arguments)
            except asyncio.CancelledError:  # the caller has waited long enough, or left
                self._look_at(client, stdio)
                raise
            except TimeoutError as error:
                self._look_at(client, stdio)
                raise ToolError(
                    f"the call took longer than {self._settings.call_seconds:g} s and was given up"
                ) from error
            except MCPError as error:
                raise self._failed(error) from error

    def _look_at(self, client: Client, stdio: Stdio | None) -> None:
        """After a call without an answer: a server that hears nothing at all is ended."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe(client, stdio))

    async def _probe(self, client: Client, stdio: Stdio | None) -> None:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await client.list_tools()
        except (TimeoutError, MCPError):
            if stdio is not None and not stdio.ended.is_set():
                stdio.fault = "hangs"
                stdio.ended.set()

    def _up(self) -> Client:
        if self._client is None or self.state:
            raise ToolError(f"the server behind the bridge {self.state}; try later")
        return self._client

    def _failed(self, error: MCPError) -> ToolError:
        if self.state:
            return ToolError(f"the server behind the bridge {self.state}; try later")
        return ToolError(f"the server refused: {error.error.message[:500]}")


async def definitions(settings: BridgeSettings) -> str:
    """What the server offers, as a JSON list. Raises `ValueError` where it does not come up."""
    child = Child(settings)
    running = asyncio.create_task(child.run())
    try:
        async with asyncio.timeout(settings.start_seconds + _PROBE_SECONDS):
            await child.came_up.wait()
            tools = await child.tools()
    except (TimeoutError, ToolError) as error:
        raise ValueError(str(error) or f"the server {child.state}") from error
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    told = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
    return json.dumps(told, indent=2)
