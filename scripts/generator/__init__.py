"""Writes a new tool server into this repository: `python scripts/new_tool_server.py`."""
