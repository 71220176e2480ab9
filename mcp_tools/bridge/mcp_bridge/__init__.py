"""A bridge to one MCP server that speaks over stdio: runs it, and serves its tools over HTTP."""
