"""What `explain` shows is the same whether a hidden row is there or not."""

import pytest
from database import SampleDatabase, caller

from bulkhead.mcp.tools import ToolError
from mcp_database.execution import Execution
from mcp_database.plan import summarise

# A statement, a value that only rows of others have, and one that no row has.
GUESSES = [
    (
        "select count(*) from services s join deployments d on d.service_id = s.id"
        " where d.tenant = {}",
        ("'customs'", "'nowhere'"),
    ),
    (
        "select count(*) from services s join costs c on c.service_id = s.id where s.tenant = {}",
        ("'customs'", "'nowhere'"),
    ),
    (
        "select count(*) from deployments d join costs c on c.deployment_id = d.id"
        " where d.tenant in ({}, 'x') and c.tenant = {}",
        ("'customs'", "'nowhere'"),
    ),
    (
        "select 1 from incidents i join deployments d on d.service_id = i.service_id"
        " where i.tenant like {} order by d.started_at limit 5",
        ("'cus%'", "'now%'"),
    ),
    (
        "select s.name from services s where s.tenant = {} and exists"
        " (select 1 from costs c where c.service_id = s.id)",
        ("'customs'", "'nowhere'"),
    ),
    (
        "select s.id from services s left join deployments d on d.service_id = s.id"
        " and d.tenant = {} where d.id is null",
        ("'customs'", "'nowhere'"),
    ),
    (
        "select distinct d.service_id from deployments d join services s on s.id = d.service_id"
        " where d.started_at > {}",
        ("'2025-12-01'", "'2999-01-01'"),
    ),
]


async def plan(execution: Execution, sql: str, value: str) -> str:
    found = summarise(await execution.explain(caller("ferries"), sql.replace("{}", value), []))
    return found.model_dump_json().replace(value.strip("'"), "?")


async def test_a_plan_does_not_depend_on_whether_a_hidden_row_is_there(
    database: SampleDatabase,
) -> None:
    async with database.admin() as admin:
        await admin.execute("ANALYZE")  # as the server does by itself, sooner or later
    async with database.execution() as execution:
        for sql, (hidden, absent) in GUESSES:
            assert await plan(execution, sql, hidden) == await plan(execution, sql, absent), sql


async def test_where_statistics_are_kept_of_hidden_rows_no_plan_is_shown(
    database: SampleDatabase,
) -> None:
    column = "ALTER TABLE harbour.costs ALTER COLUMN tenant SET STATISTICS"
    async with database.admin() as admin, database.execution() as execution:
        for kept in ("-1", "1"):
            await admin.execute(f"{column} {kept}")
            try:
                with pytest.raises(ToolError, match="plans are not shown"):
                    await execution.explain(caller("ferries"), "select 1 from services", [])
            finally:
                await admin.execute(f"{column} 0")
        assert await execution.explain(caller("ferries"), "select 1 from services", [])
