"""An MCP server that reads one PostgreSQL database and can do nothing else with it."""
