"""The tools of the process, checked before they are used, and a gate for each question."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from bulkhead.auth import Principal
from bulkhead.errors import InvalidValue
from bulkhead.leaks import SecretScanner
from retriever.agent.approvals import Approvals
from retriever.agent.audit import Audit
from retriever.agent.gate import Gate, Guards
from retriever.agent.policy import DefinitionChangedError, Policy, PolicyError
from retriever.agent.servers import Remote, Search, ToolServer, check_definitions
from retriever.clients.mcp import SELF, McpServer, ToolServerError
from retriever.tool_servers import SEARCH_SERVER

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0


class Toolbox:
    """The policy's tools, the servers that run them, and the approvals."""

    def __init__(
        self,
        policy: Policy,
        servers: Sequence[McpServer],
        known_secrets: Sequence[str],
        fail: Callable[[str], None],
        audit: Audit,
        approvals: Approvals,
    ) -> None:
        """Raises `PolicyError` when the policy allows no tool of a server that is configured."""
        self.policy = policy
        self.approvals = approvals
        self._remote: dict[str, ToolServer] = {one.name: Remote(one) for one in servers}
        for name in self._remote:
            if not policy.of(name):
                raise PolicyError(
                    f"the tool policy allows no tool of the server {name!r}:"
                    " run scripts/pin_tools.py --add, or take it out of the list"
                )
        self._guards = Guards(
            policy,
            self.approvals,
            SecretScanner(known_secrets),
            audit,
            fail,
            frozenset(one.name for one in servers if one.trusted) | {SEARCH_SERVER},
        )

    def gate(self, principal: Principal, wanted: bool | Sequence[str], search: Search) -> Gate:
        """A gate for one question. `wanted` are names of tools, or true for all.

        Raises `InvalidValue` for a name that the policy does not know.
        """
        tools = self.policy.tools
        if not isinstance(wanted, bool):
            if unknown := [name for name in wanted if name not in tools]:
                raise InvalidValue(
                    f"rag.tools: unknown tool {unknown[0][:80]!r}; the tools are {', '.join(tools)}"
                )
            tools = {name: tools[name] for name in wanted}
        servers: Mapping[str, ToolServer] = {**self._remote, SEARCH_SERVER: search}
        return Gate(self._guards, principal, servers, tools)

    async def watch(self) -> None:
        """Compare every server's definitions with the pins, waiting for those that are not up.

        Calls `fail` with the difference when one is not what was pinned.
        """
        await asyncio.gather(*(self._first_contact(name) for name in self._remote))

    async def _first_contact(self, name: str) -> None:
        while True:
            try:
                await check_definitions(self.policy, name, self._remote[name], SELF)
            except DefinitionChangedError as error:
                self._guards.changed(error)
            except ToolServerError as error:
                logger.warning("waiting for a tool server", extra={"reason": str(error)})
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            return
