"""The tools for free SQL and for finding one's way; named queries are added to them."""

import asyncpg
from pydantic import Field

from bulkhead.auth import Principal
from bulkhead.mcp.tools import AnyTool, Arguments, Tool, ToolError
from mcp_database.catalog import Catalog, Table, Tables
from mcp_database.execution import Execution, QueryResult
from mcp_database.gate import MAX_CHARACTERS, MAX_PARAMETERS
from mcp_database.plan import Plan, summarise

Value = str | int | float | bool | None


class Nothing(Arguments):
    """No arguments."""


class DescribeTable(Arguments):
    """Which table."""

    table: str = Field(description="A name from list_tables.", max_length=130)


class Statement(Arguments):
    """A statement and its values."""

    sql: str = Field(
        description="One PostgreSQL SELECT. Write values as $1, $2, … and give them in"
        " `parameters`.",
        max_length=MAX_CHARACTERS,
    )
    parameters: list[Value | list[Value]] = Field(
        [], description="The values of $1, $2, …; dates as text.", max_length=MAX_PARAMETERS
    )


class Query(Statement):
    """A statement, its values, and how much of its result to bring back."""

    max_rows: int = Field(
        50,
        ge=1,
        le=10_000,
        description="Most rows to bring back; the server's own limit may be lower.",
    )


class DatabaseTools:
    """Four tools over one database."""

    def __init__(self, catalog: Catalog, execution: Execution) -> None:
        self._catalog = catalog
        self._execution = execution

    def all(self) -> list[AnyTool]:
        """Every tool that is not a named query."""
        return [
            Tool(
                name="list_tables",
                title="List the tables",
                description="Lists the tables that can be read, and what each holds.",
                arguments=Nothing,
                result=Tables,
                run=self.list_tables,
            ),
            Tool(
                name="describe_table",
                title="Describe a table",
                description="Lists a table's columns: names, types, meaning and keys, and no rows:"
                " `query` reads and counts those. Ask before writing SQL.",
                arguments=DescribeTable,
                result=Table,
                run=self.describe_table,
            ),
            Tool(
                name="query",
                title="Run a query",
                description="Runs one SELECT, to count, add up or find rows, and brings back the"
                " first ones. `truncated` says whether there are more. Rows of other tenants are"
                " not there. Only named tables, common functions and plain SELECT are allowed; a"
                " refusal says what to change.",
                arguments=Query,
                result=QueryResult,
                run=self.query,
            ),
            Tool(
                name="explain",
                title="Explain a query",
                description="Says how PostgreSQL would run a SELECT, without running it: steps,"
                " indexes, and joins that lack a condition.",
                arguments=Statement,
                result=Plan,
                run=self.explain,
            ),
        ]

    async def list_tables(self, principal: Principal, arguments: Nothing) -> Tables:
        """The tables of the caller's role."""
        return await self._catalog.tables(principal)

    async def describe_table(self, principal: Principal, arguments: DescribeTable) -> Table:
        """One table's columns."""
        return await self._catalog.table(principal, arguments.table)

    async def query(self, principal: Principal, arguments: Query) -> QueryResult:
        """The first rows of a statement."""
        sql, parameters = arguments.sql, arguments.parameters
        try:
            return await self._execution.query(principal, sql, parameters, arguments.max_rows)
        except ToolError as error:
            raise await self._with_columns(principal, sql, error) from error.__cause__

    async def explain(self, principal: Principal, arguments: Statement) -> Plan:
        """The steps of a statement."""
        sql, parameters = arguments.sql, arguments.parameters
        try:
            return summarise(await self._execution.explain(principal, sql, parameters))
        except ToolError as error:
            raise await self._with_columns(principal, sql, error) from error.__cause__

    async def _with_columns(self, principal: Principal, sql: str, error: ToolError) -> ToolError:
        """Where a column does not exist, which ones do: a model guesses them rather than asks."""
        if not isinstance(error.__cause__, asyncpg.UndefinedColumnError):
            return error
        there = await self._catalog.columns_of_those_in(principal, sql)
        return ToolError(f"{error}; {there}") if there else error
