"""`python -m mcp_filesystem`."""

from bulkhead.mcp.app import main
from mcp_filesystem.main import NAME, create_sealed
from mcp_filesystem.settings import FilesystemSettings

if __name__ == "__main__":
    main(NAME, FilesystemSettings, create_sealed)
