"""`python -m mcp_database`."""

import sys

from pydantic import ValidationError

from bulkhead.mcp.app import serve_tools
from mcp_database.main import create
from mcp_database.settings import DatabaseSettings


def main() -> None:
    """Serve the database, with the settings of the environment."""
    try:
        settings = DatabaseSettings()
        app = create(settings)
    except ValidationError as error:
        problem = error.errors()[0]
        sys.exit(f"mcp-database: MCP_DATABASE_{str(problem['loc'][0]).upper()}: {problem['msg']}")
    except ValueError as error:
        sys.exit(f"mcp-database: {error}")
    serve_tools(app, settings)


if __name__ == "__main__":
    main()
