"""What the tables are: names, columns and keys, as the caller's role may read them."""

import re
from collections.abc import Sequence

from pydantic import BaseModel, Field

from bulkhead.auth import Principal
from bulkhead.mcp.tools import ToolError
from mcp_database.pools import Pools

_TABLES = """
SELECT n.nspname || '.' || c.relname AS name, coalesce(obj_description(c.oid, 'pg_class'), '') AS description
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY ($1::text[]) AND has_table_privilege(c.oid, 'SELECT')
ORDER BY name
"""  # noqa: E501  # one column a line
_COLUMNS = """
SELECT a.attname AS name,
       format_type(a.atttypid, a.atttypmod) AS type,
       NOT a.attnotnull AS nullable,
       coalesce(col_description(a.attrelid, a.attnum), '') AS description,
       EXISTS (
           SELECT 1 FROM pg_constraint k
           WHERE k.conrelid = a.attrelid AND k.contype = 'p' AND a.attnum = ANY (k.conkey)
       ) AS primary_key,
       (
           SELECT fn.nspname || '.' || f.relname || '.' || fa.attname
           FROM pg_constraint k
           JOIN pg_class f ON f.oid = k.confrelid
           JOIN pg_namespace fn ON fn.oid = f.relnamespace
           JOIN pg_attribute fa ON fa.attrelid = f.oid AND fa.attnum = k.confkey[1]
           WHERE k.conrelid = a.attrelid AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum]
             AND fn.nspname || '.' || f.relname = ANY ($2::text[])
           LIMIT 1
       ) AS refers_to
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = $1 AND a.attnum > 0 AND NOT a.attisdropped
  AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
ORDER BY a.attnum
"""


class TableName(BaseModel):
    """One table that can be read."""

    name: str
    description: str


class Tables(BaseModel):
    """All tables that can be read."""

    tables: list[TableName]


class TableColumn(BaseModel):
    """One column of a table."""

    name: str
    type: str
    nullable: bool
    description: str
    primary_key: bool
    refers_to: str | None = Field(description="The schema.table.column that it refers to.")


class Table(BaseModel):
    """A table's columns, in their order."""

    name: str
    description: str
    columns: list[TableColumn]
    example: str = Field(description="A statement for `query`, to count its rows.")


class Catalog:
    """Describes the named tables and no others."""

    def __init__(self, pools: Pools, tables: Sequence[tuple[str, str]]) -> None:
        self._pools = pools
        self._names = [f"{schema}.{table}" for schema, table in tables]
        self._by_bare_name = {table: f"{schema}.{table}" for schema, table in tables}

    async def tables(self, principal: Principal) -> Tables:
        """The tables that the caller's role may read."""
        async with self._pools.reading(principal) as connection:
            rows = await connection.fetch(_TABLES, self._names)
        return Tables(tables=[TableName(**row) for row in rows])

    async def table(self, principal: Principal, name: str) -> Table:
        """One table, by its name with or without the schema; `ToolError` where there is none."""
        full = self._by_bare_name.get(name, name)
        if full not in self._names:
            raise ToolError(f"there is no such table; the tables are: {', '.join(self._names)}")
        async with self._pools.reading(principal) as connection:
            head = await connection.fetchrow(_TABLES, [full])
            rows = await connection.fetch(_COLUMNS, full, self._names)
        if head is None:
            raise ToolError("this table cannot be read now")
        return Table(
            **head,
            columns=[TableColumn(**row) for row in rows],
            example=f"SELECT count(*) FROM {full}",  # noqa: S608 - shown, and a name of the catalog's
        )

    async def columns_of_those_in(self, principal: Principal, sql: str) -> str:
        """Which columns the tables have whose names stand in `sql`, in words."""
        named = [
            full
            for bare, full in self._by_bare_name.items()
            if re.search(rf"\b{re.escape(bare)}\b", sql)
        ]
        tables = [await self.table(principal, name) for name in named]
        return "; ".join(
            f"{table.name} has {', '.join(column.name for column in table.columns)}"
            for table in tables
        )
