"""The duration of each MCP operation, as OpenTelemetry's MCP conventions name it."""

import time
from collections.abc import Collection
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from opentelemetry import metrics

SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""The conventions' bucket boundaries for MCP durations."""

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

    def __init__(self, tools: Collection[str], meter: metrics.Meter | None = None) -> None:
        self._tools = frozenset(tools)
        self._histogram = (meter or metrics.get_meter("bulkhead.mcp")).create_histogram(
            "mcp.server.operation.duration",
            unit="s",
            description="Duration of an MCP request or notification, as the server saw it.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )

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
            self._histogram.record(time.perf_counter() - started, attributes)
        return result
