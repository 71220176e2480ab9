"""`python -m mcp_bridge`; with `definitions` it prints what the server offers, and ends."""

import asyncio
import sys

from bulkhead.mcp.app import main
from mcp_bridge.child import definitions
from mcp_bridge.main import create
from mcp_bridge.settings import BridgeSettings


def _print_definitions() -> None:
    try:
        # Nobody calls it, so there is no token to check and no key to have.
        settings = BridgeSettings()
        print(asyncio.run(definitions(settings)))  # noqa: T201
    except ValueError as error:
        sys.exit(f"mcp-bridge: {error}")


if __name__ == "__main__":
    if sys.argv[1:] == ["definitions"]:
        _print_definitions()
    else:
        main("mcp-bridge", BridgeSettings, create)
