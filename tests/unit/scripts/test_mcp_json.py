"""The configuration that a desktop client gets names the servers as they run."""

import json
from pathlib import Path

from embedded.tool_list import own_servers

ROOT = Path(__file__).parents[3]


def test_it_has_one_entry_for_each_server_at_its_port_and_no_token() -> None:
    servers = json.loads((ROOT / "mcp_tools" / "mcp.json").read_text())["mcpServers"]
    assert servers == {
        f"bulkhead-{server.name}": {
            "type": "http",
            "url": f"http://127.0.0.1:{server.address.port}/mcp",
            "headers": {"Authorization": "Bearer TOKEN"},
        }
        for server in own_servers({})
    }
