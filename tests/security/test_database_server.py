"""The database server as it runs: over HTTP, with PostgreSQL behind it, and without."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import asyncpg
import httpx2
import pytest
from database import VAULT_CANARY, SampleDatabase, caller, sample_database
from http_attacks import ATTACKS, Attack, check
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from serving import free_port
from tool_http import ToolServer, tool_serving

from embedded.postgres import running as postgres_running
from mcp_database.main import NAME, create

NAMED = ["monthly_costs", "failed_deployment_costs", "incidents_between", "deployments_of_service"]
TOOLS = ["list_tables", "describe_table", "query", "explain", *NAMED]


@contextmanager
def serving_tools(database: SampleDatabase, **more: Any) -> Iterator[ToolServer]:
    """The server's app over the sample database, in this process."""
    settings = database.settings(port=free_port(), **more)
    key = settings.signing_key_file.read_bytes()
    with tool_serving(create(settings), settings) as url:
        yield ToolServer(url, key, NAME, "query", {"sql": "select 1"}, "max_rows")


@pytest.fixture(scope="module")
def server(database: SampleDatabase) -> Iterator[ToolServer]:
    """One server for the table, without a limit on the rate."""
    with serving_tools(database, requests_per_second=10_000, request_burst=10_000) as served:
        yield served


@asynccontextmanager
async def client(
    server: ToolServer, mode: Literal["auto", "legacy"] = "auto", tenant: str = "default"
) -> AsyncIterator[Client]:
    """The SDK's own client, with a token of the tenant."""
    headers = {"Authorization": f"Bearer {server.token(caller(tenant))}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(f"{server.url}/mcp", http_client=http), mode=mode) as made,
    ):
        yield made


async def call(server: ToolServer, tool: str, tenant: str = "default", **arguments: Any) -> Any:
    """The structured result of a call, or the text of its error."""
    async with client(server, tenant=tenant) as made:
        result = await made.call_tool(tool, arguments)
    (block,) = result.content
    assert block.type == "text"
    return block.text if result.is_error else result.structured_content


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_over_http_comes_to_what_it_must(server: ToolServer, attack: Attack) -> None:
    check(server, attack)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_any_client_sees_the_tools_and_that_they_only_read(
    server: ToolServer, mode: Literal["auto", "legacy"]
) -> None:
    async with client(server, mode) as made:
        tools = (await made.list_tools()).tools
        result = await made.call_tool("query", {"sql": "select $1::int as n", "parameters": [7]})
    assert [tool.name for tool in tools] == TOOLS
    for tool in tools:
        assert tool.annotations
        assert tool.annotations.read_only_hint is True
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema
    assert result.structured_content
    del result.structured_content["elapsed_ms"]
    assert result.structured_content == {
        "columns": [{"name": "n", "type": "int4"}],
        "rows": [[7]],
        "row_count": 1,
        "truncated": False,
    }


async def test_the_tables_and_their_columns_are_described(server: ToolServer) -> None:
    tables = await call(server, "list_tables")
    assert [one["name"] for one in tables["tables"]] == [
        "harbour.costs", "harbour.deployments", "harbour.incidents", "harbour.services",
    ]  # fmt: skip
    costs = await call(server, "describe_table", table="costs")
    by_name = {one["name"]: one for one in costs["columns"]}
    assert by_name["id"]["primary_key"]
    assert by_name["service_id"]["refers_to"] == "harbour.services.id"
    assert by_name["amount"]["type"] == "numeric(10,2)"
    assert by_name["deployment_id"]["nullable"]
    assert "Euros" in by_name["amount"]["description"]
    counted = await call(server, "query", sql=costs["example"])
    assert counted["rows"][0][0] > 100


@pytest.mark.parametrize(
    ("tool", "arguments", "rows"),
    [
        ("monthly_costs", {"service": "ask-the-harbour", "first_month": "2026-07-01",
                           "last_month": "2026-09-01"}, 18),
        ("incidents_between", {"first_day": "2026-01-01", "last_day": "2026-12-31"}, 16),
        ("incidents_between", {"first_day": "2026-08-17", "last_day": "2026-08-17",
                               "severity": "SEV1"}, 1),
        ("deployments_of_service", {"service": "ask-the-harbour", "result": "rolled back"}, 2),
        ("deployments_of_service", {"service": "' or 1=1 --"}, 0),
    ],
)  # fmt: skip
async def test_a_named_query_takes_typed_values(
    server: ToolServer, tool: str, arguments: dict[str, Any], rows: int
) -> None:
    assert (await call(server, tool, **arguments))["row_count"] == rows


async def test_a_default_of_a_named_query_stands_in(server: ToolServer) -> None:
    found = await call(server, "failed_deployment_costs")
    since = await call(server, "failed_deployment_costs", since="2026-01-01")
    assert found["row_count"] > since["row_count"] > 0
    assert {row[0] for row in since["rows"]} == {2026}


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("monthly_costs", {"service": "x"}, "first_month"),
        ("incidents_between", {"first_day": "soon", "last_day": "2026-01-01"}, "first_day"),
        ("incidents_between", {"first_day": 1, "last_day": "2026-01-01"}, "first_day"),
        ("deployments_of_service", {"service": "x" * 1001}, "service"),
        ("deployments_of_service", {"service": "x", "sql": "select 1"}, "sql"),
        ("query", {"sql": "select * from harbour.vault"}, "there is no table"),
        ("query", {"sql": "delete from services"}, "only SELECT"),
        ("query", {"sql": "select 1", "max_rows": 0}, "max_rows"),
        ("query", {"sql": ["select 1"]}, "sql"),
        ("query", {"sql": "select $1::text", "parameters": [{"a": 1}]}, "parameters"),
        ("explain", {"sql": "select pg_sleep(9)"}, "is not allowed"),
        ("describe_table", {"table": "vault"}, "the tables are"),
    ],
)
async def test_a_wrong_call_gets_an_error_that_names_what_is_wrong(
    server: ToolServer, tool: str, arguments: dict[str, Any], words: str
) -> None:
    told = await call(server, tool, **arguments)
    assert isinstance(told, str)
    assert words in told
    assert VAULT_CANARY not in told


async def test_a_token_of_another_tenant_gives_that_tenants_rows(server: ToolServer) -> None:
    sql = "select distinct tenant from costs order by 1"
    assert (await call(server, "query", "ferries", sql=sql))["rows"] == [["ferries"], ["shared"]]
    assert (await call(server, "query", "customs", sql=sql))["rows"] == [["customs"], ["shared"]]
    plan = await call(server, "explain", "ferries", sql="select * from costs")
    assert "customs" not in json.dumps(plan)
    assert "no access" in await call(server, "query", "acme", sql=sql)


async def test_as_each_role_the_walls_behind_the_gate_hold(database: SampleDatabase) -> None:
    """With the gate gone: the role's own login, and the statements that the gate refuses."""
    denied = [
        "select * from harbour.vault",
        "insert into harbour.services select * from harbour.services",
        "update harbour.costs set amount = 0",
        "delete from harbour.incidents",
        "truncate harbour.costs",
        "drop table harbour.costs",
        "create table harbour.t (id int)",
        "create temp table t (id int)",
        "create schema s",
        "set role harbour_customs",
        "set session authorization postgres",
        "alter policy harbour_ferries_reads on harbour.costs using (true)",
        "alter table harbour.costs disable row level security",
        "alter role harbour_ferries superuser",
        "select pg_read_file('/etc/passwd')",
        "select pg_ls_dir('/')",
        "copy harbour.services to program 'id'",
        "copy harbour.services to '/tmp/x'",
        "select lo_create(0)",
        "select lo_import('/etc/passwd')",
        "select pg_notify('x', 'y')",
        "select pg_advisory_lock(1)",
        "select pg_sleep(1)",
        "select query_to_xml('select 1', true, true, '')",
        "select pg_terminate_backend(1)",
        "select pg_reload_conf()",
        "select * from pg_authid",
        "set temp_file_limit = -1",
        "load 'plpgsql'",
        "create function harbour.f() returns int language sql as 'select 1'",
        "create extension vector",
        "alter system set log_statement = 'all'",
        "do $$ begin perform * from harbour.vault; end $$",
    ]
    async with database.as_role("harbour_ferries") as connection:
        await connection.execute("set default_transaction_read_only = off")
        for sql in denied:
            with pytest.raises(Exception, match=r"permission|must be|denied|not allowed") as told:
                await connection.execute(sql)
            assert VAULT_CANARY not in str(told.value), sql
        # What SQL can set does not change which rows there are.
        for sql in ("set row_security = off", "set search_path = harbour, public",
                    "select set_config('app.tenant', 'customs', false)"):  # fmt: skip
            await connection.execute(sql)
        try:
            rows = await connection.fetch("select distinct tenant from harbour.costs order by 1")
        except Exception as error:  # row_security = off makes PostgreSQL refuse to filter
            assert "row-level security" in str(error)
        else:
            assert [row[0] for row in rows] == ["ferries", "shared"]
        await connection.execute("set row_security = on")
        rows = await connection.fetch("select distinct tenant from harbour.costs order by 1")
        assert [row[0] for row in rows] == ["ferries", "shared"]
    for role in ("harbour_reader", "harbour_customs"):
        async with database.as_role(role) as connection:
            with pytest.raises(Exception, match="permission denied"):
                await connection.fetch("select * from harbour.vault")


def test_a_wrong_or_missing_password_lets_nobody_in(database: SampleDatabase) -> None:
    async def enter(user: str, password: str | None) -> None:
        await asyncpg.connect(
            host="127.0.0.1", port=database.port, user=user, password=password, database="harbour",
            passfile="/nonexistent",
        )  # fmt: skip

    ferries = (database.folder / "passwords" / "harbour_ferries").read_text(encoding="ascii")
    for user, password in (
        ("postgres", None), ("postgres", "postgres"), ("harbour_reader", ""),
        ("harbour_customs", ferries), ("nobody", ferries),
    ):  # fmt: skip
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            asyncio.run(enter(user, password))


def test_without_postgres_it_says_so_and_it_recovers_by_itself() -> None:
    with sample_database() as own, serving_tools(own) as server:
        assert httpx2.get(f"{server.url}/readyz", timeout=60).status_code == 200
        assert _select_one(server) == [[1]]
        own.stop()
        while (down := httpx2.get(f"{server.url}/readyz", timeout=60)).status_code == 200:
            time.sleep(0.1)  # an answer holds for a second
        assert down.status_code == 503
        assert down.json()["parts"]["postgres"]["state"] == "down"
        assert "127.0.0.1" not in down.text
        assert httpx2.get(f"{server.url}/healthz", timeout=60).status_code == 200
        assert _select_one(server) == "the database does not answer; try again later"
        with postgres_running(own.folder / "postgres", own.port, own.admin_password):
            assert _select_one(server) == [[1]]
            _wait_until_ready(f"{server.url}/readyz")


def test_the_process_serves_ends_at_sigterm_and_names_a_wrong_setting(
    database: SampleDatabase,
) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "MCP_DATABASE_PORT": str(port),
        "MCP_DATABASE_POSTGRES_PORT": str(database.port),
        "MCP_DATABASE_PASSWORD_DIR": str(database.folder / "passwords"),
        "MCP_DATABASE_SIGNING_KEY_FILE": str(database.folder / "signing-key"),
    }
    command = [sys.executable, "-m", "mcp_database"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) in (0, -signal.SIGTERM)
    wrong = {**environment, "MCP_DATABASE_TENANT_ROLES": "default"}
    ended = subprocess.run(command, env=wrong, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("mcp-database: MCP_DATABASE_TENANT_ROLES: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tenant_roles", "a=x,b=x"),
        ("tenant_roles", "a=x,a=y"),
        ("tenant_roles", "default="),
        ("tenant_roles", "=x"),
        ("tenant_roles", 'a="x"'),
        ("tables", "pg_catalog.pg_authid"),
        ("tables", "information_schema.tables"),
        ("tables", "services"),
        ("tables", "a.t,b.t"),
        ("tables", "a.t;drop"),
        ("signing_key_file", "nothing"),
        ("queries_file", "nothing"),
        ("max_rows", 0),
    ],
)
def test_a_wrong_setting_stops_the_start_and_tells_no_path(
    name: str, value: object, database: SampleDatabase
) -> None:
    with pytest.raises(ValueError) as told:  # the message is looked at below
        create(database.settings(**{name: value}))
    assert str(database.folder) not in str(told.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("queries: [", "not YAML"),
        ("- a", "queries.yaml"),
        ("queries: [{name: a, title: t, description: d, sql: 'delete from services'}]",
         "a: only SELECT"),
        ("queries: [{name: a, title: t, description: d, sql: 'select * from vault'}]",
         "there is no table"),
        ("queries: [{name: 'a b', title: t, description: d, sql: 'select 1'}]", "queries.0.name"),
        ("queries: [{name: query, title: t, description: d, sql: 'select 1'}]", "one name"),
        ("queries: [{name: a, title: t, description: d, sql: 'select 1', tables: x}]",
         "queries.0.tables"),
        ("queries: [{name: a, title: t, description: d, sql: 'select 1',"
         " parameters: [{name: p, type: sql, description: d}]}]", "parameters.0.type"),
    ],
)  # fmt: skip
def test_a_file_of_queries_that_is_wrong_stops_the_start(
    text: str, words: str, database: SampleDatabase, tmp_path: Path
) -> None:
    file = tmp_path / "queries.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        create(database.settings(queries_file=file))


def _select_one(server: ToolServer) -> Any:
    told = asyncio.run(call(server, "query", sql="select 1"))
    return told["rows"] if isinstance(told, dict) else told


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx2.get(url, timeout=60).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the server did not become ready")
