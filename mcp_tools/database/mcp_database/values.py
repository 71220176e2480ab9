"""Rows as JSON without loss: what JSON cannot hold exactly is the text that PostgreSQL writes."""

import math
from typing import Any, TypeAlias

import asyncpg

from bulkhead.mcp.tools import ToolError
from mcp_database.errors import NO_JSON_FORM

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Json: TypeAlias = "bool | int | float | str | list[Json] | None"

MAX_SAFE_INTEGER = 2**53 - 1
"""Above it, readers that hold every number as a double lose digits."""

_AS_TEXT = (
    "numeric", "money", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "uuid",
    "bytea", "json", "jsonb", "inet", "cidr", "macaddr", "bit", "varbit", "xml", "oid", "record",
)  # fmt: skip
_AS_FLOAT = ("float4", "float8")

SERVER_SETTINGS = {"timezone": "UTC", "datestyle": "ISO", "intervalstyle": "iso_8601"}
"""Session settings that fix how PostgreSQL writes times."""


async def use_text(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Exchange these types with PostgreSQL as text, in both directions."""
    for name in _AS_TEXT:
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=_encode, decoder=str, format="text"
        )
    for name in _AS_FLOAT:
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=_encode, decoder=float, format="text"
        )


def _encode(value: object) -> str:
    """A parameter as text; PostgreSQL checks it against the type that it infers."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def to_json(value: Any) -> Json:
    """One value of a row. Raises `ToolError` for a type that has no exact form here."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= MAX_SAFE_INTEGER else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case list():
            return [to_json(one) for one in value]
        case _:
            raise ToolError(NO_JSON_FORM)
