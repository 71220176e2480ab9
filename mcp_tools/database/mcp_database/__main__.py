"""`python -m mcp_database`."""

from bulkhead.mcp.app import main
from mcp_database.main import NAME, create
from mcp_database.settings import DatabaseSettings

if __name__ == "__main__":
    main(NAME, DatabaseSettings, create)
