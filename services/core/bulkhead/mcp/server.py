"""The MCP server over a list of tools: lists them, calls them, and bounds what a call may take.

It is built on the SDK's low-level server, which serves tools and nothing else. `MCPServer` would
also answer for resources, prompts and subscriptions, and would convert arguments of wrong types.
"""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import mcp_types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from bulkhead.auth import Principal
from bulkhead.logs import request_id
from bulkhead.mcp.metrics import OperationDuration
from bulkhead.mcp.tools import AnyTool, ToolError

logger = logging.getLogger(__name__)

PRINCIPAL = "bulkhead.principal"
"""Where the HTTP door leaves the caller in the ASGI scope."""


def create_server(
    *,
    name: str,
    title: str,
    version: str,
    instructions: str,
    tools: Sequence[AnyTool],
    call_seconds: float,
    max_result_bytes: int,
) -> Server[Any]:
    """A server with these tools, and nothing but tools. A call over a limit is a tool error."""
    calls = _Calls(tools, call_seconds, max_result_bytes)
    server = Server[Any](
        name,
        title=title,
        version=version,
        instructions=instructions,
        on_list_tools=calls.list_tools,
        on_call_tool=calls.call_tool,
        get_tool_input_schema=calls.input_schema,
    )
    server.middleware.append(OperationDuration(calls.tools))
    return server


class _Calls:
    def __init__(self, tools: Sequence[AnyTool], seconds: float, max_bytes: int) -> None:
        self.tools = {tool.name: tool for tool in tools}
        self._definitions = {tool.name: tool.definition() for tool in tools}
        self._seconds = seconds
        self._max_bytes = max_bytes

    async def list_tools(
        self, context: ServerRequestContext[Any], params: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(tools=list(self._definitions.values()))

    def input_schema(self, name: str) -> dict[str, Any] | None:
        definition = self._definitions.get(name)
        return definition.input_schema if definition else None

    async def call_tool(
        self, context: ServerRequestContext[Any], params: mcp_types.CallToolRequestParams
    ) -> mcp_types.CallToolResult:
        tool = self.tools.get(params.name)
        if tool is None:
            raise MCPError(
                mcp_types.INVALID_PARAMS, f"unknown tool; the tools are {', '.join(self.tools)}"
            )
        principal = _principal(context)
        started = time.perf_counter()
        outcome = "crashed"
        try:
            result = await self._run(tool, principal, params.arguments or {})
            outcome = "done"
        except ToolError as error:
            outcome = "refused"
            return failure(str(error))
        except Exception:
            logger.exception("the tool %s failed", tool.name)
            return failure(f"the tool failed on our side; request id {request_id.get()}")
        else:
            return result
        finally:
            logger.info(
                "tool call",
                extra={
                    "tool": tool.name,
                    "tenant": principal.tenant,
                    "key_id": principal.key_id,
                    "outcome": outcome,
                    "duration_ms": round((time.perf_counter() - started) * 1000, 2),
                },
            )

    async def _run(
        self, tool: AnyTool, principal: Principal, arguments: dict[str, Any]
    ) -> mcp_types.CallToolResult:
        checked = tool.parse(arguments)
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                result = await tool.run(principal, checked)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise ToolError(
                f"the call took longer than {self._seconds:g} s and was ended; ask for less"
            ) from error
        text = result.model_dump_json()
        if len(text.encode()) > self._max_bytes:
            raise ToolError(
                f"the result is larger than {self._max_bytes} bytes; ask for less at a time"
            )
        return mcp_types.CallToolResult(
            content=[mcp_types.TextContent(type="text", text=text)],
            structured_content=json.loads(text),
        )


def _principal(context: ServerRequestContext[Any]) -> Principal:
    """Who the door let in. Raises `MCPError` for a call that came by no door."""
    principal = context.request.scope.get(PRINCIPAL) if context.request else None
    if not isinstance(principal, Principal):
        raise MCPError(mcp_types.INVALID_REQUEST, "the call has no principal")
    return principal


def failure(message: str) -> mcp_types.CallToolResult:
    """The result of a tool that failed, in words for the model."""
    return mcp_types.CallToolResult(
        content=[mcp_types.TextContent(type="text", text=message)], is_error=True
    )
