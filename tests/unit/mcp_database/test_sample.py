"""The sample database agrees with the demo's documents, row by row."""

import datetime
import re
from decimal import Decimal

import pytest
from database import SampleDatabase, caller

from bulkhead.mcp.tools import ToolError
from embedded.parts import ROOT
from embedded.postgres import ADMIN
from mcp_database.catalog import Catalog
from mcp_database.pools import Pools
from mcp_database.sample import data
from mcp_database.sample.load import ensure_password, load

SOURCE = ROOT / "examples" / "source"


async def _rows(database: SampleDatabase, sql: str) -> list[list[object]]:
    async with database.execution() as execution:
        return [list(row) for row in (await execution.query(caller(), sql, [], 200)).rows]


def _text(name: str) -> str:
    return (SOURCE / name).read_text(encoding="utf-8")


def test_the_rows_are_the_same_every_time() -> None:
    for rows in (data.services, data.incidents, data.deployments, data.costs):
        assert rows() == rows()


async def test_deployments_times_costs_are_the_ninety_million_rows_of_the_review(
    database: SampleDatabase,
) -> None:
    assert "produced 90 million rows" in _text("incident-reviews-2026.docx.md")
    counted = await _rows(
        database, "select (select count(*) from deployments) * (select count(*) from costs)"
    )
    assert counted == [[90_000_000]]


async def test_the_incidents_of_2026_are_those_of_the_reviews(database: SampleDatabase) -> None:
    table = re.findall(
        r"^\| (INC-\d+) \| (\d+ \w+ 2026) \| (SEV\d) \| ([^|]+) \| ([^|]+) \|$",
        _text("incident-reviews-2026.docx.md"), re.MULTILINE,
    )  # fmt: skip
    assert len(table) == 7
    told = [
        [number, f"{datetime.datetime.strptime(day, '%d %B %Y'):%Y-%m-%d}", level, _minutes(lasted),
         cause]
        for number, day, level, lasted, cause in table
    ]  # fmt: skip
    rows = await _rows(
        database,
        "select id, to_char(started_at, 'YYYY-MM-DD'), severity, minutes, cause from incidents"
        " where started_at >= '2026-01-01' and severity <> 'SEV3' order by id",
    )
    assert rows == told
    mean = "select round(avg(minutes)) from incidents where started_at >= '2026-01-01' and"
    mean += " severity <> 'SEV3' and id <> 'INC-115'"
    assert "The mean duration without INC-115 was 1 hour and 21 minutes" in _text(
        "incident-reviews-2026.docx.md"
    )
    assert await _rows(database, mean) == [["81"]]


def _minutes(lasted: str) -> int:
    hours = re.search(r"(\d+) h", lasted)
    minutes = re.search(r"(\d+) min", lasted)
    return (int(hours[1]) * 60 if hours else 0) + (int(minutes[1]) if minutes else 0)


async def test_the_releases_of_the_quarter_are_those_of_the_service_review(
    database: SampleDatabase,
) -> None:
    table = re.findall(
        r"^\| (2026\.\d) \| (\d+ \w+ 2026) \| ([^|]+) \| ([^|]+) \|$",
        _text("service-review-q3-2026.docx.md"), re.MULTILINE,
    )  # fmt: skip
    assert len(table) == 4
    told = [
        [release, f"{datetime.datetime.strptime(day, '%d %B %Y'):%Y-%m-%d}", engineer, result]
        for release, day, engineer, result in table
    ]
    rows = await _rows(
        database,
        "select release, to_char(d.started_at, 'YYYY-MM-DD'), engineer, result"
        " from deployments d join services s on s.id = d.service_id"
        " where s.name = 'ask-the-harbour' and d.host = 'keel-01'"
        " and d.started_at between '2026-07-01' and '2026-10-01' order by d.started_at",
    )
    assert rows == told


async def test_the_monthly_cost_is_the_one_of_the_service_review(database: SampleDatabase) -> None:
    table = re.findall(
        r"^\| ([^|]+) \| €([\d,]+) \|$", _text("service-review-q3-2026.docx.md"), re.MULTILINE
    )
    told = {item.lower(): Decimal(euros.replace(",", "")) for item, euros in table}
    total = told.pop("total")
    rows = await _rows(
        database,
        "select month, lower(item), amount from costs c join services s on s.id = c.service_id"
        " where s.name = 'ask-the-harbour' and month between '2026-07-01' and '2026-09-01'",
    )
    for month in ("2026-07-01", "2026-08-01", "2026-09-01"):
        found = {str(item): Decimal(str(amount)) for when, item, amount in rows if when == month}
        assert found == told
        assert sum(found.values()) == total == 3980


async def test_services_have_the_ports_of_the_handbook(database: SampleDatabase) -> None:
    table = re.findall(r"^\| ([a-z-]+) \| (\d{4}) \|", _text("operators-handbook.pdf.md"),
                       re.MULTILINE)  # fmt: skip
    assert len(table) == 5
    rows = await _rows(database, "select name, port from services where part_of = 1")
    assert {(name, int(port)) for name, port in table} <= {tuple(row) for row in rows}


async def test_no_release_is_out_of_the_hours_and_none_in_the_freeze(
    database: SampleDatabase,
) -> None:
    odd = await _rows(
        database,
        "select id from deployments where host not in ('rudder-01') and (extract(dow from"
        " started_at) <> 3 or extract(hour from started_at) not in (13, 14))"
        " or to_char(started_at, 'MMDD') >= '1215' or to_char(started_at, 'MMDD') <= '0106'",
    )
    assert odd == []


async def test_the_role_is_as_the_briefing_says(database: SampleDatabase) -> None:
    briefing = _text("tool-server-briefing.pdf.md")
    assert "timeout is 5 seconds, and it may hold 12 connections" in briefing
    async with database.admin() as admin:
        role = await admin.fetchrow("select * from pg_roles where rolname = 'harbour_reader'")
        owned = await admin.fetchval(
            "select count(*) from pg_class where relowner = 'harbour_reader'::regrole"
        )
    assert role is not None
    assert role["rolconnlimit"] == 12
    assert "statement_timeout=5s" in role["rolconfig"]
    assert "temp_file_limit=64MB" in role["rolconfig"]
    assert owned == 0
    powers = ("super", "inherit", "createrole", "createdb", "replication", "bypassrls")
    assert not any(role[f"rol{power}"] for power in powers)


async def test_loading_again_changes_no_row_and_puts_rights_right(
    database: SampleDatabase,
) -> None:
    async with database.admin() as admin:
        before = await admin.fetchval("select count(*) from harbour.costs")
        await admin.execute("grant harbour_customs to harbour_yard")
        await admin.execute("alter role harbour_yard set statement_timeout = '2h'")
        await admin.execute("drop policy harbour_yard_reads on harbour.costs")
        await admin.execute("create policy leak on harbour.costs to harbour_yard using (true)")
        assert not await load(database.address(), ADMIN, database.admin_password)
        assert await admin.fetchval("select count(*) from harbour.costs") == before
        setting = "select rolconfig from pg_roles where rolname = 'harbour_yard'"
        assert "statement_timeout=5s" in await admin.fetchval(setting)
        assert await admin.fetchval("select count(*) from pg_auth_members"
                                    " where member = 'harbour_yard'::regrole") == 0  # fmt: skip
    async with database.execution() as execution:
        found = await execution.query(
            caller("yard"), "select distinct tenant from costs order by 1", [], 9
        )
        assert found.rows == [["shared"], ["yard"]]


def test_a_password_is_made_once_and_only_its_owner_may_read_it(
    database: SampleDatabase,
) -> None:
    path = database.folder / "made" / "harbour_reader"
    first = ensure_password(path)
    assert len(first) >= 43
    assert ensure_password(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("", encoding="ascii")
    with pytest.raises(ValueError, match="is empty"):
        ensure_password(path)


@pytest.mark.parametrize("table", ["harbour.vault", "pg_catalog.pg_authid", "nothing"])
async def test_the_vault_is_not_described(table: str, database: SampleDatabase) -> None:
    settings = database.settings()
    pools = Pools(settings)
    try:
        with pytest.raises(ToolError, match="there is no such table"):
            await Catalog(pools, settings.table_names()).table(caller(), table)
    finally:
        await pools.close()
