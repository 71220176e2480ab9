"""Show how the tools on offer differ from what the policy pins, and pin them anew with --yes.

The tool servers must be up (`make serve`, or those that RETRIEVER_TOOL_SERVERS names).
Exit codes: 0 nothing differs or the pins were renewed, 1 something differs, 2 it could not be told.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.text import Text

from bulkhead.auth import Principal, Role
from bulkhead.tool_tokens import read_signing_key
from client.screen import terminal
from embedded.parts import state, tool_servers
from retriever.agent.canonical import digest
from retriever.agent.policy import (
    PACKAGED,
    Definition,
    PolicyError,
    PolicyFile,
    difference,
    pins_path,
    read,
    read_pins,
)
from retriever.agent.servers import CHECK_SECONDS, SEARCH_DEFINITION, SEARCH_SERVER
from retriever.clients.mcp import McpServer, ToolServerError
from retriever.settings import ToolServerAddress

_ADDRESSES = TypeAdapter(dict[str, ToolServerAddress])
_MAX_BYTES = 4 * 2**20


def main(
    policy: Annotated[Path, typer.Option(help="The policy file.")] = PACKAGED,
    yes: Annotated[bool, typer.Option("--yes", help="Pin what is on offer.")] = False,
) -> None:
    """Compare, show, and with --yes renew."""
    console = terminal()
    try:
        file, pinned = read(policy), read_pins(policy)
        offered = asyncio.run(_offered(file))
    except (PolicyError, ToolServerError, ValidationError, ValueError) as error:
        console.print(Text(str(error), style="red"))
        raise typer.Exit(2) from error
    changed = _show(file, pinned, offered, console)
    if not changed:
        console.print("Every pin holds.")
        return
    if not yes:
        console.print("Read what changed, then run this again with --yes to pin it.")
        raise typer.Exit(1)
    pin(policy, offered)
    console.print("Pinned. Restart the retriever.")


async def _offered(file: PolicyFile) -> dict[str, Definition]:
    """The definition of every tool of the policy; raises `ToolServerError` when one is missing."""
    told = os.environ.get("RETRIEVER_TOOL_SERVERS") or tool_servers(state())
    addresses = _ADDRESSES.validate_json(told)
    found: dict[str, dict[str, Definition]] = {
        SEARCH_SERVER: {SEARCH_DEFINITION["name"]: SEARCH_DEFINITION}
    }
    asker = Principal("pin-tools", "retriever", frozenset(), Role.READER)
    for name, one in addresses.items():
        key = read_signing_key(one.signing_key_file)
        uds = str(one.uds) if one.uds else None
        server = McpServer(name, str(one.url), key, _MAX_BYTES, uds)
        try:
            found[name] = await server.definitions(asker, CHECK_SECONDS)
        finally:
            await server.close()
    missing = [one.name for one in file.tools if one.tool not in found.get(one.server, {})]
    if missing:
        raise ToolServerError(f"no server offers {', '.join(missing)}")
    return {one.name: found[one.server][one.tool] for one in file.tools}


def _show(
    file: PolicyFile,
    pinned: dict[str, Definition],
    offered: dict[str, Definition],
    console: Console,
) -> bool:
    """Print each difference; whether there was one."""
    changed = False
    for tool in file.tools:
        before, now = pinned.get(tool.name), offered[tool.name]
        if before is not None and digest(now) == tool.sha256 == digest(before):
            continue
        changed = True
        console.print(Text(difference(tool.name, before, now) or f"{tool.name}: another hash"))
    return changed


def pin(policy: Path, offered: dict[str, Definition]) -> None:
    """Write the hashes into the policy, where they stand, and the definitions beside it."""
    text = policy.read_text(encoding="utf-8")
    root = yaml.compose(text)
    assert root is not None  # `read` took it for a policy
    (tools,) = (value for key, value in root.value if key.value == "tools")
    spots = []
    for node in tools.value:
        fields = {key.value: value for key, value in node.value}
        name = f"{fields['server'].value}__{fields['tool'].value}"
        mark = fields["sha256"]
        spots.append((mark.start_mark.index, mark.end_mark.index, digest(offered[name])))
    for start, end, sha256 in reversed(spots):  # from the end, so that the places before it hold
        text = f"{text[:start]}{sha256}{text[end:]}"
    pins = json.dumps(offered, indent=2, sort_keys=True) + "\n"
    pins_path(policy).write_text(pins, encoding="utf-8")
    policy.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
