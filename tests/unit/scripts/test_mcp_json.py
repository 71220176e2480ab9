"""The configuration that a desktop client gets names the servers as they run."""

import json
from pathlib import Path

from mcp_database.settings import DatabaseSettings
from mcp_filesystem.settings import FilesystemSettings

ROOT = Path(__file__).parents[3]


def test_it_has_one_entry_for_each_server_at_its_port_and_no_token() -> None:
    servers = json.loads((ROOT / "mcp_tools" / "mcp.json").read_text())["mcpServers"]
    ports = {
        "bulkhead-files": FilesystemSettings.model_fields["port"].default,
        "bulkhead-database": DatabaseSettings.model_fields["port"].default,
    }
    assert servers == {
        name: {
            "type": "http",
            "url": f"http://127.0.0.1:{port}/mcp",
            "headers": {"Authorization": "Bearer TOKEN"},
        }
        for name, port in ports.items()
    }
