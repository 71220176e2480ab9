"""Show how the tools on offer differ from what the policy pins, and pin them anew with --yes.

The tool servers must be up: those of `make serve`, or of the list that RETRIEVER_TOOL_SERVERS_FILE
names. With --add NAME only that one is asked, and what it offers beyond the policy comes into it as
a tool that writes: it needs a person's approval for each call until a person changes its `risk`.
Exit codes: 0 nothing differs or the pins were renewed, 1 something differs, 2 it could not be told.
"""

import asyncio
import json
import os
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import mcp_types
import typer
import yaml
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.text import Text

from client.screen import terminal
from embedded.parts import state
from retriever.agent.canonical import digest
from retriever.agent.policy import (
    PACKAGED,
    SEPARATOR,
    Definition,
    PolicyError,
    PolicyFile,
    Risk,
    ToolName,
    difference,
    pins_path,
    read,
    read_pins,
    unusable,
)
from retriever.agent.servers import CHECK_SECONDS, SEARCH_DEFINITION
from retriever.clients.mcp import SELF, McpServer, ToolServerError, definition
from retriever.tool_servers import SEARCH_SERVER, ServerEntry, read_tool_servers

_MAX_BYTES = 4 * 2**20
_MOST_TOOLS = 50
_ENTRY = """
- server: {server}
  tool: {tool}
  risk: {risk}
  sha256: unpinned
  calls: 6
  bytes: 65536
  seconds: 15
"""


_RISK = {Risk.READ: "read", Risk.WRITE: "write # until a person has read what it does"}


def main(
    policy: Annotated[Path, typer.Option(help="The policy file.")] = PACKAGED,
    add: Annotated[str, typer.Option(help="Take in what this server offers.")] = "",
    offered_file: Annotated[
        Path | None,
        typer.Option("--offered", help="With --add: what it offers, as its bridge printed it."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Pin what is on offer.")] = False,
) -> None:
    """Compare, show, and with --yes renew."""
    console = terminal()
    try:
        file, pinned = read(policy), read_pins(policy)
        if offered_file is None:
            offered = asyncio.run(_offered(add))
        else:
            offered = {add: _printed(offered_file)}
        new = _beyond(file, add, offered[add], console) if add else []
        wanted = [(one.server, one.tool) for one in file.tools] + [(add, tool) for tool in new]
        chosen = _chosen(wanted, offered, {} if not add else pinned)
    except (PolicyError, ToolServerError, ValidationError, ValueError) as error:
        console.print(Text(str(error), style="red"))
        raise typer.Exit(2) from error
    changed = _show(wanted, file, pinned, chosen, console)
    if not changed:
        console.print("Every pin holds.")
        return
    if not yes:
        console.print("Read what changed, then run this again with --yes to pin it.")
        raise typer.Exit(1)
    pin(policy, chosen, [(add, tool) for tool in new])
    console.print("Pinned. Restart the retriever.")


async def _offered(only: str) -> dict[str, dict[str, Definition]]:
    """What each server offers, or the one alone; raises `ToolServerError` when one is down."""
    told = os.environ.get("RETRIEVER_TOOL_SERVERS_FILE")
    listed = read_tool_servers(Path(told) if told else state().tool_servers)
    asked = [one for one in listed if only in ("", one.name)]
    if only and not asked:
        names = ", ".join(one.name for one in listed) or "empty"
        raise ValueError(f"there is no server {only!r} in the list: it is {names}")
    found = {SEARCH_SERVER: {SEARCH_DEFINITION["name"]: SEARCH_DEFINITION}}
    return found | {one.name: await _definitions(one) for one in asked}


def _printed(path: Path) -> dict[str, Definition]:
    """What `python -m mcp_bridge definitions` wrote. Raises `ValueError`."""
    try:
        told = json.loads(path.read_bytes())
        tools = [definition(mcp_types.Tool.model_validate(one)) for one in told]
    except OSError as error:
        raise ValueError(f"cannot read {path.name}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path.name} holds no list of tools") from error
    return {one["name"]: one for one in tools}


async def _definitions(entry: ServerEntry) -> dict[str, Definition]:
    server = McpServer(entry, _MAX_BYTES)
    try:
        return await server.definitions(SELF, CHECK_SECONDS)
    finally:
        await server.close()


def _beyond(
    file: PolicyFile, server: str, offered: dict[str, Definition], console: Console
) -> list[str]:
    """The tools that the policy lacks and can hold; tells of each that it cannot."""
    there = {one.tool for one in file.tools if one.server == server}
    new = []
    for tool in sorted(set(offered) - there):
        if fault := _unfit(server, tool) or unusable(offered[tool]):
            console.print(Text(f"left out: {tool[:64]!a} {fault}", style="yellow"))
        else:
            new.append(tool)
    if len(new) > _MOST_TOOLS:
        raise ValueError(f"{server} offers {len(new)} tools; {_MOST_TOOLS} can be taken in at once")
    return new


def _unfit(server: str, tool: str) -> str:
    try:
        TypeAdapter(ToolName).validate_python(tool)
    except ValidationError:
        return "is no name that a model can call"
    if SEPARATOR in tool or len(f"{server}{SEPARATOR}{tool}") > 64:
        return f"holds {SEPARATOR!r}, or is too long behind the server's name"
    return ""


def _chosen(
    wanted: Iterable[tuple[str, str]],
    offered: dict[str, dict[str, Definition]],
    pinned: dict[str, Definition],
) -> dict[str, Definition]:
    """The definition of every tool of the policy: as on offer, or as pinned where not asked.

    Raises `ToolServerError` when one is missing.
    """
    found, missing = {}, []
    for server, tool in wanted:
        name = f"{server}{SEPARATOR}{tool}"
        definition = offered.get(server, {}).get(tool)
        if definition is None and server not in offered:
            definition = pinned.get(name)
        if definition is None:
            missing.append(name)
        else:
            found[name] = definition
    if missing:
        raise ToolServerError(f"no server offers {', '.join(missing)}")
    return found


def _show(
    wanted: Iterable[tuple[str, str]],
    file: PolicyFile,
    pinned: dict[str, Definition],
    chosen: dict[str, Definition],
    console: Console,
) -> bool:
    """Print each difference, in ASCII alone; whether there was one."""
    hashes = {tool.name: tool.sha256 for tool in file.tools}
    changed = False
    for server, tool in wanted:
        name = f"{server}{SEPARATOR}{tool}"
        before, now = pinned.get(name), chosen[name]
        if before is not None and digest(now) == hashes.get(name) == digest(before):
            continue
        changed = True
        shown = difference(name, before, now) or f"{name}: another hash"
        console.print(Text(shown))
    return changed


def pin(policy: Path, offered: dict[str, Definition], new: Iterable[tuple[str, str]] = ()) -> None:
    """Write the hashes into the policy, where they stand, and the definitions beside it.

    `new` are tools, by server and name, that get an entry first.
    """
    text, pins = pinned(policy.read_text(encoding="utf-8"), offered, new, Risk.WRITE)
    pins_path(policy).write_text(pins, encoding="utf-8")
    policy.write_text(text, encoding="utf-8")


def pinned(
    text: str, offered: dict[str, Definition], new: Iterable[tuple[str, str]], risk: Risk
) -> tuple[str, str]:
    """A policy's text with entries for `new` and the hashes of what is on offer, and the pins."""
    last = _tools(text)[-1]
    end = len(text[: last.end_mark.index].rstrip())
    for server, tool in new:
        entry = textwrap.indent(
            _ENTRY.format(server=server, tool=tool, risk=_RISK[risk]),
            " " * (last.start_mark.column - 2),
        ).rstrip()
        text = f"{text[:end]}\n{entry}{text[end:]}"
        end += len(entry) + 1
    spots = []
    for node in _tools(text):
        fields = {key.value: value for key, value in node.value}
        name = f"{fields['server'].value}{SEPARATOR}{fields['tool'].value}"
        mark = fields["sha256"]
        spots.append((mark.start_mark.index, mark.end_mark.index, digest(offered[name])))
    for start, end, sha256 in reversed(spots):  # from the end, so that the places before it hold
        text = f"{text[:start]}{sha256}{text[end:]}"
    PolicyFile.model_validate(yaml.safe_load(text))
    return text, json.dumps(offered, indent=2, sort_keys=True) + "\n"


def _tools(policy: str) -> list[yaml.MappingNode]:
    """The entries of a policy's tools, with their places in the text."""
    root = yaml.compose(policy)
    assert root is not None  # `read` took it for a policy
    (tools,) = (value for key, value in root.value if key.value == "tools")
    found: list[yaml.MappingNode] = tools.value
    return found


if __name__ == "__main__":
    typer.run(main)
