"""`python -m mcp_filesystem`."""

import sys

from pydantic import ValidationError

from bulkhead.mcp.app import serve_tools
from mcp_filesystem.landlock import python_folders, restrict
from mcp_filesystem.main import create
from mcp_filesystem.settings import FilesystemSettings


def main() -> None:
    """Serve the files, with the settings of the environment, behind Landlock where there is one."""
    try:
        settings = FilesystemSettings()
        roots = {settings.root} | ({settings.tenants_root} if settings.tenants_root else set())
        app = create(settings, seal=lambda: restrict(roots | python_folders()))
    except ValidationError as error:
        problem = error.errors()[0]
        sys.exit(
            f"mcp-filesystem: MCP_FILESYSTEM_{str(problem['loc'][0]).upper()}: {problem['msg']}"
        )
    except OSError as error:
        sys.exit(f"mcp-filesystem: the folder cannot be served: {error.strerror}")
    except ValueError as error:
        sys.exit(f"mcp-filesystem: {error}")
    serve_tools(app, settings)


if __name__ == "__main__":
    main()
