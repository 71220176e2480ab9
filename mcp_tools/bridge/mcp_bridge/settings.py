"""What the bridge can be told from outside; every name starts with MCP_BRIDGE_."""

from pathlib import Path
from tempfile import gettempdir

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from bulkhead.mcp.settings import ToolServerSettings


class BridgeSettings(ToolServerSettings):
    """The settings; what bounds the server behind the bridge holds for one run of it."""

    model_config = SettingsConfigDict(env_prefix="MCP_BRIDGE_", extra="ignore")

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_-]{0,30}$",
        description="The server's name in the list of tool servers; its tokens are for `mcp-NAME`.",
    )
    command: list[str] = Field(
        min_length=1, description="JSON list: the program and its arguments; no shell reads them."
    )
    environment: dict[str, str] = Field(
        {},
        description="JSON: variables of the server; beside them it has `PATH`, `HOME` and `LANG`.",
    )
    folder: Path = Field(
        default_factory=lambda: Path(gettempdir()),
        description="The server's folder, and its `HOME`.",
    )
    port: int = Field(8093, ge=0, le=65535, description="Port to listen on.")
    signing_key_file: Path = Field(
        Path(".data/mcp-bridge-signing-key"),
        description="File with the key that signs this server's tokens, 32 random bytes or more.",
    )
    start_seconds: float = Field(
        30, gt=0, description="Longest that the server may take to say what it is."
    )
    calls_at_once: int = Field(
        4, ge=1, description="Calls that the server has under way at once; others wait."
    )
    max_tools: int = Field(100, ge=1, description="Most tools that the server may offer.")
    max_line_bytes: int = Field(
        2**20, gt=0, description="Longest message of the server, in bytes; a longer one ends it."
    )
    max_unasked_bytes: int = Field(
        4 * 2**20,
        gt=0,
        description="Most that the server may say between two messages to it, in bytes; more ends"
        " it.",
    )
    max_junk_lines: int = Field(
        20, ge=0, description="Lines that are no messages, after which the server is ended."
    )
    restarts: int = Field(
        5, ge=1, description="Starts within a minute; then the bridge waits until it is over."
    )
