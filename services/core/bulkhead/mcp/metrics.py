"""The duration of each MCP operation, as OpenTelemetry's MCP conventions name it."""

import time
from collections.abc import Collection
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError

from bulkhead.telemetry.instruments import MCP_SERVER_DURATION

_METHODS = frozenset(
    (
        "initialize",
        "ping",
        "server/discover",
        "tools/call",
        "tools/list",
        "notifications/initialized",
    )
)


class OperationDuration:
    """SDK middleware that records `mcp.server.operation.duration`, in seconds.

    What a caller sends becomes an attribute only where it is a method or a tool that exists, so
    callers cannot make series.
    """

    def __init__(self, tools: Collection[str]) -> None:
        self._tools = frozenset(tools)

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        method = ctx.method if ctx.method in _METHODS else "_OTHER"
        attributes: dict[str, str] = {"mcp.method.name": method}
        if ctx.method == "tools/call":
            name = (ctx.params or {}).get("name")
            attributes["gen_ai.operation.name"] = "execute_tool"
            if not isinstance(name, str) or name not in self._tools:
                name = "_OTHER"
            attributes["gen_ai.tool.name"] = name
        started = time.perf_counter()
        try:
            result = await call_next(ctx)
            if isinstance(result, dict) and result.get("isError"):
                attributes["error.type"] = "tool_error"
        except MCPError as error:
            attributes["error.type"] = str(error.code)
            raise
        except BaseException as error:
            attributes["error.type"] = type(error).__name__
            raise
        finally:
            MCP_SERVER_DURATION.record(time.perf_counter() - started, attributes)
        return result
