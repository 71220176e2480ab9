"""Runs a checked statement and brings back as many rows as may be brought back."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field, JsonValue

from bulkhead.auth import Principal
from bulkhead.mcp.tools import ToolError
from mcp_database.gate import Gate
from mcp_database.pools import Pools
from mcp_database.settings import DatabaseSettings
from mcp_database.values import Connection, Json, to_json

_GRACE_SECONDS = 1.0
"""PostgreSQL's own limit comes first; this one holds where it does not keep it."""
_TELLING = """
SELECT EXISTS (
    SELECT FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname || '.' || c.relname = ANY ($1::text[])
      AND c.relrowsecurity AND a.attstattarget IS DISTINCT FROM 0
)
"""
"""Whether a column of a table with row policies has statistics, or will have (-1 or NULL)."""
_FRAME_BYTES = 256
"""What a result takes beside its columns and rows."""


class Column(BaseModel):
    """A column of a result."""

    name: str
    type: str = Field(description="PostgreSQL's name of the type, like int4 or timestamptz.")


class QueryResult(BaseModel):
    """The rows of a query, in their order."""

    columns: list[Column]
    rows: list[list[JsonValue]] = Field(
        description="Values by column: null, booleans, numbers and lists as JSON; all else, and "
        "what JSON's numbers cannot hold exactly, as the text that PostgreSQL writes."
    )
    row_count: int = Field(description="Rows in this result.")
    truncated: bool = Field(description="Whether the query has more rows than these.")
    elapsed_ms: float


class Execution:
    """Runs statements as the role of the caller's tenant."""

    def __init__(self, pools: Pools, gate: Gate, settings: DatabaseSettings) -> None:
        self._pools = pools
        self._gate = gate
        self._tables = [f"{schema}.{table}" for schema, table in settings.table_names()]
        self._max_rows = settings.max_rows
        self._max_bytes = settings.max_result_bytes
        self._seconds = settings.query_seconds + _GRACE_SECONDS

    async def query(
        self, principal: Principal, sql: str, parameters: Sequence[Any], max_rows: int
    ) -> QueryResult:
        """The first rows of `sql`: `max_rows`, or as many as the limit on bytes lets through.

        Raises `ToolError` where the gate, the database or a limit refuses.
        """
        self._gate.check(sql)
        started = time.perf_counter()
        most = min(max_rows, self._max_rows)
        async with self._pools.reading(principal) as connection:
            columns, rows, more = await self._in_time(self._read(connection, sql, parameters, most))
        return QueryResult(
            columns=columns,
            rows=rows,
            row_count=len(rows),
            truncated=more,
            elapsed_ms=round((time.perf_counter() - started) * 1000, 2),
        )

    async def explain(self, principal: Principal, sql: str, parameters: Sequence[Any]) -> Any:
        """PostgreSQL's plan for `sql`, as its own JSON; nothing is run.

        Raises `ToolError` also where the database keeps statistics of columns whose rows are
        hidden from some: the choice of a plan would tell of them.
        """
        self._gate.check(sql)
        async with self._pools.reading(principal, "EXPLAIN") as connection:
            if await connection.fetchval(_TELLING, self._tables):
                raise ToolError("plans are not shown here: the tables keep statistics of all rows")
            statement = f"EXPLAIN (FORMAT JSON) {sql}"
            plan = await self._in_time(connection.fetchval(statement, *parameters))
        return json.loads(plan)

    async def _in_time(self, work: Any) -> Any:
        try:
            async with asyncio.timeout(self._seconds):
                return await work
        except TimeoutError as error:
            raise ToolError(
                "the query took too long and was ended; read fewer rows or join on a key"
            ) from error

    async def _read(
        self, connection: Connection, sql: str, parameters: Sequence[Any], most: int
    ) -> tuple[list[Column], list[list[Json]], bool]:
        """Columns, rows, and whether there are more. One row more than asked for is fetched.

        Rows are fetched one by one: a short statement can make each of them many megabytes large,
        and one is the least that can be in memory before it is measured.
        """
        statement = await connection.prepare(sql)
        attributes = statement.get_attributes()
        columns = [Column(name=one.name, type=one.type.name) for one in attributes]
        budget = self._max_bytes - _FRAME_BYTES
        budget -= sum(len(one.model_dump_json()) + 1 for one in columns)
        cursor = await statement.cursor(*parameters)
        rows: list[list[Json]] = []
        while (record := await cursor.fetchrow()) is not None:
            if len(rows) == most:
                return columns, rows, True
            row = [to_json(value) for value in record]
            budget -= _size(row)
            if budget < 0:
                if not rows:
                    raise ToolError(
                        f"one row is larger than {self._max_bytes} bytes; select less of it"
                    )
                return columns, rows, True
            rows.append(row)
        return columns, rows, False


def _size(row: list[Json]) -> int:
    """Bytes of the row in the reply, with the comma after it."""
    return len(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()) + 1
