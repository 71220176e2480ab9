"""The tool servers behind one interface: MCP servers, and the retriever's own search."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bulkhead.auth import Principal
from retriever.agent.policy import Definition, DefinitionChangedError, Policy
from retriever.agent.render import render
from retriever.clients.mcp import McpServer
from retriever.index.model import Hit
from retriever.report import Report
from retriever.search import Searcher, SearchOptions

CHECK_SECONDS = 5.0
_MOST_CHUNKS = 10

SEARCH_DEFINITION: Definition = {
    "name": "search_documents",
    "title": "Search documents",
    "description": "Find passages in the documents that the user may see, by meaning and words. "
    "Use it when the sources given do not hold the answer, with other words than the question's.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1000,
                "description": "What to look for, in plain words.",
            },
            "top_k": {
                "type": "integer",
                "minimum": 1,
                "maximum": _MOST_CHUNKS,
                "default": 4,
                "description": "How many passages.",
            },
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave, as text, with the chunks where it was a search."""

    text: str
    is_error: bool = False
    found: list[Hit] = field(default_factory=list)


class ToolServer(Protocol):
    """Who runs tools. Errors are `ToolServerError` or `ApiError`."""

    async def definitions(self, principal: Principal, seconds: float) -> dict[str, Definition]:
        """The tools on offer, by name."""

    async def call(
        self, principal: Principal, tool: str, arguments: dict[str, Any], seconds: float
    ) -> Result:
        """Run one tool as `principal`, within `seconds`."""


class Remote:
    """An MCP server as a tool server."""

    def __init__(self, server: McpServer) -> None:
        self._server = server

    async def definitions(self, principal: Principal, seconds: float) -> dict[str, Definition]:
        return await self._server.definitions(principal, seconds)

    async def call(
        self, principal: Principal, tool: str, arguments: dict[str, Any], seconds: float
    ) -> Result:
        answer = await self._server.call(principal, tool, arguments, seconds)
        structured = answer.structured is not None and not answer.is_error
        return Result(render(answer.structured) if structured else answer.text, answer.is_error)


class Search:
    """The retriever's own search as a tool server, for one request: its filters hold here, too."""

    def __init__(self, searcher: Searcher, options: SearchOptions, report: Report) -> None:
        self._searcher = searcher
        self._options = options
        self._report = report

    async def definitions(self, principal: Principal, seconds: float) -> dict[str, Definition]:
        return {SEARCH_DEFINITION["name"]: SEARCH_DEFINITION}

    async def call(
        self, principal: Principal, tool: str, arguments: dict[str, Any], seconds: float
    ) -> Result:
        hits = await self._searcher.search(
            principal, arguments["query"], arguments.get("top_k", 4), self._options, self._report
        )
        text = "\n\n".join(f"{hit.title}\n{hit.shown}" for hit in hits)
        return Result(text or "Nothing was found.", found=hits)


async def check_definitions(
    policy: Policy, server: str, tools: ToolServer, principal: Principal
) -> None:
    """Compare what `server` offers with what is pinned. Tools beyond the policy do not count.

    Raises `DefinitionChangedError` with the difference, or `ToolServerError` when it is down.
    """
    offered: Mapping[str, Definition] = await tools.definitions(principal, CHECK_SECONDS)
    problems = []
    for allowed in policy.of(server):
        try:
            allowed.check(offered.get(allowed.policy.tool))
        except DefinitionChangedError as error:
            problems.append(str(error))
    if problems:
        raise DefinitionChangedError("\n".join(problems))
