"""What the filesystem server can be told from outside; every name starts with MCP_FILESYSTEM_."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from bulkhead.mcp.settings import ToolServerSettings


class FilesystemSettings(ToolServerSettings):
    """The settings; the limits hold for one call."""

    model_config = SettingsConfigDict(env_prefix="MCP_FILESYSTEM_", extra="ignore")

    port: int = Field(8090, ge=0, le=65535, description="Port to listen on.")
    signing_key_file: Path = Field(
        Path(".data/mcp-filesystem-signing-key"),
        description="File with the key that signs this server's tokens, 32 random bytes or more.",
    )
    root: Path = Field(Path(".data/files"), description="Folder whose files are served, read-only.")
    tenant: str = Field(
        "default", min_length=1, description="The tenant that the files below the root belong to."
    )
    tenants_root: Path | None = Field(
        None,
        description="Folder with one folder for each other tenant, named like it, outside the "
        "root. None: other tenants have no files.",
    )
    max_file_bytes: int = Field(
        8 * 2**20, gt=0, description="Largest file that is read by lines or searched, in bytes."
    )
    max_text_bytes: int = Field(
        64 * 2**10, ge=4, description="Most bytes of text that one call reads out of a file."
    )
    max_entries: int = Field(
        20_000, ge=1, description="Most folder entries that one call looks at."
    )
    max_search_bytes: int = Field(
        256 * 2**20, gt=0, description="Most bytes of files that one search looks through."
    )
    max_depth: int = Field(32, ge=1, description="Most folders below each other that are entered.")
    walk_seconds: float = Field(5, gt=0, description="Longest that one search or listing may take.")
