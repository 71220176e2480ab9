"""Statements against the real database: what comes back, exactly, and what each tenant sees."""

import asyncio
import resource
from typing import Any

import pytest
from benign_sql import QUERIES
from database import VAULT_CANARY, SampleDatabase, caller
from serving import free_port

from bulkhead.mcp.tools import ToolError
from mcp_database.catalog import Catalog
from mcp_database.execution import QueryResult
from mcp_database.plan import summarise
from mcp_database.pools import Pools
from mcp_database.tools import DatabaseTools, Query, Statement


def test_there_are_a_hundred_benign_queries() -> None:
    assert len(set(QUERIES)) == len(QUERIES) >= 100


async def test_it_is_ready_at_once_while_queries_hold_every_connection(
    database: SampleDatabase,
) -> None:
    pools = Pools(database.settings(connections=1, query_seconds=60))
    async with pools.reading(caller()):
        await asyncio.wait_for(pools.ping(), 60)
    await pools.close()


async def test_every_benign_query_runs_and_gives_rows(database: SampleDatabase) -> None:
    async with database.execution() as execution:
        for sql in QUERIES:
            try:
                found = await execution.query(caller(), sql, [], 20)
            except ToolError as error:
                pytest.fail(f"{sql}: {error}")
            assert all(len(row) == len(found.columns) for row in found.rows)
            assert found.row_count == len(found.rows) <= 20


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("1.10::numeric", "1.10"),
        ("12345678901234567890.000000000000000001", "12345678901234567890.000000000000000001"),
        ("9007199254740991", 9007199254740991),
        ("9007199254740993", "9007199254740993"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("0.1::float4", 0.1),
        ("0.1::float8", 0.1),
        ("'NaN'::float8", "nan"),
        ("'-infinity'::float8", "-inf"),
        ("true", True),
        ("null", None),
        ("''", ""),
        ("'þ €'", "þ €"),
        ("date '0044-03-15 BC'", "0044-03-15 BC"),
        ("'infinity'::timestamptz", "infinity"),
        ("timestamptz '2026-10-25 02:30:00.123456+02'", "2026-10-25 00:30:00.123456+00"),
        ("timestamp '2026-10-28 15:12'", "2026-10-28 15:12:00"),
        ("time '23:59:59.5'", "23:59:59.5"),
        ("interval '1 year 2 months 3 days 04:05:06'", "P1Y2M3DT4H5M6S"),
        ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("array[1, null, 3]", [1, None, 3]),
        ("array[[1.5], [2.50]]", [["1.5"], ["2.50"]]),
        ("array['a', 'b']", ["a", "b"]),
        ("b'101'", "101"),
        ("row(1, 'a')", "(1,a)"),
    ],
)
async def test_a_value_comes_back_exactly(sql: str, value: Any, database: SampleDatabase) -> None:
    async with database.execution() as execution:
        found = await execution.query(caller(), f"select {sql}", [], 1)
    assert found.rows == [[value]]
    assert QueryResult.model_validate_json(found.model_dump_json()).rows == found.rows


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("$1 = 'INC-112'", "INC-112"),
        ("$1::int = 38", 38),
        ("$1::int8 = 9007199254740993", 9007199254740993),
        ("$1::numeric = 1.10", "1.10"),
        ("$1::numeric = 1.1", 1.1),
        ("$1::date = '2026-08-17'", "2026-08-17"),
        ("$1::timestamptz = '2026-08-17 06:00+00'", "2026-08-17T06:00:00Z"),
        ("$1::bool", True),
        ("$1::float8 = 0.5", 0.5),
        ("$1::text is null", None),
        ("'b' = any ($1::text[])", ["a", "b"]),
        ("2 = any ($1::int[])", [1, 2]),
        ("$1::text = ''';drop table services;--'", "';drop table services;--"),
    ],
)
async def test_a_parameter_is_a_value_and_never_sql(
    condition: str, value: Any, database: SampleDatabase
) -> None:
    async with database.execution() as execution:
        found = await execution.query(caller(), f"select 1 where {condition}", [value], 1)
    assert found.rows == [[1]]


@pytest.mark.parametrize(
    ("sql", "parameters", "words"),
    [
        ("select $1::int", ["x"], r"\$1"),
        ("select $1::int", [], "expects 1 argument"),
        ("select 1", [1], "expects 0 arguments"),
        ("select $1::date", ["no day"], "invalid input syntax"),
        ("select $1::text", ["a\0b"], "0x00"),
        ("select $1::int", [2**40], r"\$1"),
        ("select nothing from services", [], "does not exist"),
        ("select name from services group by tier", [], "must appear in the GROUP BY"),
        ("select 1 / 0", [], "division by zero"),
        ("select sum(name) from services", [], "does not exist"),
        ("select s from services s", [], "cast it"),
    ],
)
async def test_a_mistake_gets_words_that_help(
    sql: str, parameters: list[Any], words: str, database: SampleDatabase
) -> None:
    async with database.execution() as execution:
        with pytest.raises(ToolError, match=words) as told:
            await execution.query(caller(), sql, parameters, 1)
    assert "/" not in str(told.value).replace("1 / 0", "")


async def test_who_names_a_column_that_is_not_there_is_told_those_that_are(
    database: SampleDatabase,
) -> None:
    settings = database.settings()
    catalog = Catalog(pools := Pools(settings), settings.table_names())
    async with database.execution() as execution:
        tools = DatabaseTools(catalog, execution)
        asked = "select duration from harbour.incidents i join services s on s.id = i.service_id"
        with pytest.raises(ToolError) as told:
            await tools.query(caller(), Query(sql=asked))
        with pytest.raises(ToolError) as planned:
            await tools.explain(caller(), Statement(sql=asked))
        with pytest.raises(ToolError) as other:
            await tools.query(caller(), Query(sql="select 1 / 0 from incidents"))
    await pools.close()
    for words in (str(told.value), str(planned.value)):
        assert words.startswith('PostgreSQL: column "duration" does not exist; ')
        assert "harbour.incidents has id, tenant, " in words and "harbour.services has " in words
        assert "harbour.costs" not in words
    assert str(other.value) == "PostgreSQL: division by zero"


async def test_rows_are_cut_at_the_limit_and_it_says_so(database: SampleDatabase) -> None:
    sql = "select n from generate_series(1, 30) n"
    async with database.execution(max_rows=20) as execution:
        for asked, given, more in ((5, 5, True), (19, 19, True), (1000, 20, True)):
            found = await execution.query(caller(), sql, [], asked)
            assert (found.row_count, found.truncated) == (given, more)
            assert [row[0] for row in found.rows] == list(range(1, given + 1))
        found = await execution.query(caller(), f"{sql} limit 20", [], 20)
        assert (found.row_count, found.truncated) == (20, False)
        found = await execution.query(caller(), f"{sql} where false", [], 20)
        assert (found.rows, found.truncated, len(found.columns)) == ([], False, 1)


async def test_a_query_that_ends_in_a_comment_is_not_rewritten(database: SampleDatabase) -> None:
    async with database.execution() as execution:
        found = await execution.query(caller(), "select 1 -- limit 0", [], 5)
        assert found.rows == [[1]]
        plan = await execution.explain(caller(), "select name from services -- x", [])
        assert summarise(plan).steps[0]["table"] == "services"


async def test_bytes_are_bounded_and_one_row_too_large_is_an_error(
    database: SampleDatabase,
) -> None:
    wide = "select string_agg(description, 'é') from services a, generate_series(1, $1::int)"
    async with database.execution(max_result_bytes=10_000) as execution:
        found = await execution.query(caller(), "select * from incidents", [], 200)
        assert found.truncated
        assert 20 < found.row_count < 116
        assert len(found.model_dump_json().encode()) <= 10_000
        with pytest.raises(ToolError, match="one row is larger than 10000 bytes"):
            await execution.query(caller(), wide, [50], 1)


async def test_each_tenant_sees_its_own_rows_and_the_shared_ones(
    database: SampleDatabase,
) -> None:
    async with database.execution() as execution:
        seen = {}
        for tenant in ("default", "pilotage", "customs", "ferries", "yard"):
            for table in ("services", "incidents", "deployments", "costs"):
                sql = f"select distinct tenant from {table} order by 1"
                found = await execution.query(caller(tenant), sql, [], 9)
                seen[tenant, table] = [row[0] for row in found.rows]
    everyone = ["customs", "ferries", "pilotage", "shared", "yard"]
    for (tenant, _), tenants in seen.items():
        assert tenants == (everyone if tenant == "default" else sorted([tenant, "shared"]))


async def test_a_tenant_without_a_role_gets_an_error_and_no_connection(
    database: SampleDatabase,
) -> None:
    async with database.execution() as execution:
        for tenant in ("acme", "Default", "default ", "", "harbour_reader", "postgres"):
            with pytest.raises(ToolError, match="your tenant has no access"):
                await execution.query(caller(tenant), "select 1", [], 1)


async def test_a_plan_tells_no_number_of_rows(database: SampleDatabase) -> None:
    """Estimates count all tenants' rows: they would tell of those that a policy hides."""
    async with database.execution() as execution:
        plan = await execution.explain(
            caller("ferries"), "select * from services where name = $1", ["tariff-desk"]
        )
        crossed = await execution.explain(caller(), "select * from deployments, costs", [])
        keyed = await execution.explain(
            caller(), "select * from costs c join deployments d on d.id = c.deployment_id", []
        )
    told = summarise(plan).model_dump_json()
    assert not {"rows", "cost", "width"} & set(told.lower().replace('"', " ").split())
    assert summarise(crossed).joins_without_condition == 1
    assert summarise(keyed).joins_without_condition == 0


async def test_a_query_that_takes_too_long_is_ended_on_the_server(
    database: SampleDatabase,
) -> None:
    slow = "select count(*) from costs a, costs b, costs c"
    async with database.execution(query_seconds=0.3) as execution:
        with pytest.raises(ToolError, match="too long"):
            await execution.query(caller(), slow, [], 1)
        assert await _running(database) == 0


async def test_a_caller_who_leaves_ends_the_query_on_the_server(database: SampleDatabase) -> None:
    slow = "select count(*) from costs a, costs b, costs c"
    async with database.execution(query_seconds=60) as execution:
        task = asyncio.create_task(execution.query(caller(), slow, [], 1))
        await _until_running(1, database)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _until_running(0, database)
        found = await execution.query(caller(), "select 1", [], 1)
        assert found.rows == [[1]]


async def test_one_tenant_that_takes_all_its_connections_stops_no_other(
    database: SampleDatabase,
) -> None:
    slow = "select count(*) from costs a, costs b, costs c"
    async with database.execution(query_seconds=60, connections=2) as execution:
        tasks = [
            asyncio.create_task(execution.query(caller("yard"), slow, [], 1)) for _ in range(2)
        ]
        await _until_running(2, database)
        found = await execution.query(caller("ferries"), "select 1", [], 1)
        assert found.rows == [[1]]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_database_that_is_down_is_an_error_that_says_so(
    database: SampleDatabase,
) -> None:
    async with database.execution(postgres_port=free_port()) as execution:
        with pytest.raises(ToolError, match="the database does not answer"):
            await execution.query(caller(), "select 1", [], 1)


async def test_connections_that_break_are_replaced(database: SampleDatabase) -> None:
    async with database.execution() as execution:
        await execution.query(caller(), "select 1", [], 1)
        async with database.admin() as admin:
            await admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'mcp-database'"
            )
        for attempt in range(3):
            try:
                found = await execution.query(caller(), "select 1", [], 1)
            except ToolError as error:
                assert "does not answer" in str(error)
                assert attempt == 0
            else:
                assert found.rows == [[1]]


async def test_a_role_that_may_do_more_than_read_is_not_used(database: SampleDatabase) -> None:
    grants = {
        "grant insert on harbour.vault to harbour_yard": "revoke insert on harbour.vault from"
        " harbour_yard",
        "alter role harbour_yard bypassrls": "alter role harbour_yard nobypassrls",
        "alter role harbour_yard superuser": "alter role harbour_yard nosuperuser",
        "grant create on schema harbour to harbour_yard": "revoke create on schema harbour from"
        " harbour_yard",
        "grant harbour_customs to harbour_yard": "revoke harbour_customs from harbour_yard",
    }
    async with database.admin() as admin:
        for grant, revoke in grants.items():
            await admin.execute(grant)
            try:
                async with database.execution() as execution:
                    with pytest.raises(ToolError, match="set up wrongly"):
                        await execution.query(caller("yard"), "select 1", [], 1)
            finally:
                await admin.execute(revoke)
    async with database.execution() as execution:
        assert (await execution.query(caller("yard"), "select 1", [], 1)).rows == [[1]]


async def test_nothing_that_fails_tells_of_passwords_hosts_or_other_tenants(
    database: SampleDatabase,
) -> None:
    async with database.execution(password_dir=database.folder) as execution:
        with pytest.raises(ToolError) as told:
            await execution.query(caller("ferries"), "select 1", [], 1)
    for secret in ("harbour_", "127.0.0.1", str(database.folder), VAULT_CANARY, "customs"):
        assert secret not in str(told.value)


async def _running(database: SampleDatabase) -> int:
    """Statements that tool servers run at this moment."""
    async with database.admin() as admin:
        counted = await admin.fetchval(
            "select count(*) from pg_stat_activity"
            " where application_name = 'mcp-database' and state = 'active'"
        )
    assert isinstance(counted, int)
    return counted


async def _until_running(count: int, database: SampleDatabase) -> None:
    async with asyncio.timeout(60):
        while await _running(database) != count:  # noqa: ASYNC110  # PostgreSQL tells no event
            await asyncio.sleep(0.02)


async def test_rows_that_are_made_large_are_in_memory_one_at_a_time(
    database: SampleDatabase,
) -> None:
    """Fifty rows of 22 MB from 3 KB of SQL: all at once they were 1.2 GB in this process."""
    x, y = "x" * 1500, "y" * 1500
    large = f"replace(replace('{x}', 'x', '{y}'), 'y', 'abcdefghij')"
    async with database.execution() as execution:
        before = peak_memory()
        for sql in (
            f"select {large} from generate_series(1, 50)",
            f"select case when n > 9 then {large} end from generate_series(1, 50) n",
        ):
            try:
                found = await execution.query(caller(), sql, [], 200)
            except ToolError as error:
                assert "one row is larger" in str(error)
            else:
                assert (found.row_count, found.truncated) == (9, True)
        assert peak_memory() - before < 400 * 2**20


def peak_memory() -> int:
    """The most bytes that this process has had in memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
