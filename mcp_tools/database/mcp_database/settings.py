"""What the database tool server can be told, by environment variables named `MCP_DATABASE_…`."""

import re
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bulkhead.mcp.settings import ToolServerSettings

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_CONFIG = SettingsConfigDict(env_prefix="MCP_DATABASE_", extra="ignore")


class DatabaseAddress(BaseSettings):
    """Where PostgreSQL is, and which of its roles reads for which tenant."""

    model_config = _CONFIG

    postgres_host: str = Field("127.0.0.1", description="PostgreSQL's address or socket folder.")
    postgres_port: int = Field(5432, ge=1, le=65535, description="PostgreSQL's port.")
    postgres_database: str = Field("harbour", description="Name of the database that is read.")
    password_dir: Path = Field(
        Path(".data/postgres-passwords"),
        description="Folder with a file for each role, named like it, that holds its password.",
    )
    tenant_roles: str = Field(
        "default=harbour_reader,pilotage=harbour_pilotage,customs=harbour_customs,"
        "ferries=harbour_ferries,yard=harbour_yard",
        description="The role that reads for each tenant, as `tenant=role`, separated by commas. "
        "A tenant that is not named gets no rows.",
    )

    @field_validator("tenant_roles")
    @classmethod
    def _one_role_each(cls, text: str) -> str:
        pairs = _pairs(text, "=")
        if any(not tenant or not _NAME.fullmatch(role) for tenant, role in pairs):
            raise ValueError("write tenant=role, separated by commas; a role is a plain name")
        for names in zip(*pairs, strict=True):
            if len(set(names)) < len(names):
                raise ValueError("each tenant has one role, and no two tenants share a role")
        return text

    def roles(self) -> dict[str, str]:
        """The role of each tenant."""
        return dict(_pairs(self.tenant_roles, "="))


class DatabaseSettings(ToolServerSettings, DatabaseAddress):
    """The settings of the server; the defaults fit the sample database on loopback."""

    model_config = _CONFIG

    signing_key_file: Path = Field(
        Path(".data/mcp-database-signing-key"),
        description="File with the key that signs this server's tokens, 32 random bytes or more.",
    )
    port: int = Field(8091, ge=0, le=65535, description="Port to listen on.")
    tables: str = Field(
        "harbour.services,harbour.incidents,harbour.deployments,harbour.costs",
        description="Tables that may be read, as `schema.table`, separated by commas.",
    )
    queries_file: Path = Field(
        default_factory=lambda: Path(__file__).parent / "queries.yaml",
        description="YAML file of named queries; each becomes a tool.",
    )
    max_rows: int = Field(200, ge=1, description="Most rows that one query may give.")
    query_seconds: float = Field(
        5, gt=0, description="Longest that PostgreSQL may work on one statement."
    )
    connect_seconds: float = Field(
        2, gt=0, description="Longest that PostgreSQL may take to let a role in."
    )
    connections: int = Field(
        4, ge=1, description="Connections of each role; a query waits for a free one."
    )

    @field_validator("tables")
    @classmethod
    def _qualified_names(cls, text: str) -> str:
        pairs = _pairs(text, ".")
        if any(not _NAME.fullmatch(word) for pair in pairs for word in pair):
            raise ValueError("write schema.table, separated by commas, in plain lower-case names")
        if any(word.startswith("pg_") or word == "information_schema" for word, _ in pairs):
            raise ValueError("PostgreSQL's own schemas are not to be read")
        if len({table for _, table in pairs}) < len(pairs):
            raise ValueError("no two tables may have one name")
        return text

    def table_names(self) -> list[tuple[str, str]]:
        """The tables that may be read, as pairs of schema and table."""
        return _pairs(self.tables, ".")


def _pairs(text: str, separator: str) -> list[tuple[str, str]]:
    split = [one.strip().partition(separator) for one in text.split(",")]
    return [(left.strip(), right.strip()) for left, _, right in split]
