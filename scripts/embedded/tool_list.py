"""The embedded mode's tool servers: those that are started here, and the list for the retriever."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from embedded.address import Address, address_of
from embedded.errors import StackError
from retriever.tool_servers import ServerEntry, read_tool_servers

LIST = Path(__file__).resolve().parents[2] / "mcp_tools" / "servers.embedded.yaml"


@dataclass(frozen=True)
class OwnServer:
    """A tool server with a package in mcp_tools/, and where it listens."""

    name: str
    address: Address

    @property
    def part(self) -> str:
        """What its process is called; also the audience of its tokens."""
        return f"mcp-{self.name}"

    @property
    def module(self) -> str:
        """What Python runs."""
        return f"mcp_{self.name.replace('-', '_')}"

    @property
    def prefix(self) -> str:
        """Of its variables, without the underscore at the end."""
        return self.module.upper()


def own_servers(
    environment: Mapping[str, str] = os.environ, listed: Path = LIST
) -> list[OwnServer]:
    """The servers that run here. Raises `StackError` where the list or a port is wrong."""
    found = []
    for entry in _entries(listed):
        server = OwnServer(entry.name, Address("", entry.url.port or 80))
        if (listed.parent / entry.name / server.module).is_dir():
            address = address_of(environment, server.prefix, server.address.port)
            found.append(OwnServer(entry.name, address))
    return found


def tool_list(environment: Mapping[str, str] = os.environ, listed: Path = LIST) -> str:
    """The list, with the addresses at which the servers that run here listen."""
    addresses = {one.name: one.address for one in own_servers(environment, listed)}
    told = yaml.safe_load(listed.read_text(encoding="utf-8")) or {"servers": []}
    for entry in told["servers"]:
        if entry["name"] in addresses:
            entry["url"] = f"{addresses[entry['name']].url}/mcp"
    return yaml.safe_dump(told, sort_keys=False)


def _entries(listed: Path) -> tuple[ServerEntry, ...]:
    try:
        return read_tool_servers(listed)
    except ValueError as error:
        raise StackError(str(error)) from error
