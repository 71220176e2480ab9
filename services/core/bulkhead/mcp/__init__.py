"""What the MCP tool servers share: tools, the HTTP door in front of them, limits, the app."""
