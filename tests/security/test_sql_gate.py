"""The attack table against the gate, and what it lets through against the real database."""

import json
import re

import pytest
from database import VAULT_CANARY, SampleDatabase, caller
from sql_attacks import ATTACKS, Attack

from bulkhead.mcp.tools import ToolError
from mcp_database.execution import Execution
from mcp_database.gate import Gate, Refused
from mcp_database.settings import DatabaseSettings

TABLES = [("harbour", name) for name in ("services", "incidents", "deployments", "costs")]
REFUSED = [one for one in ATTACKS if one.refused]
BOUNDED = [one for one in ATTACKS if one.bounded]


def test_the_table_of_attacks_has_one_row_for_each() -> None:
    assert len({one.name for one in ATTACKS}) == len(ATTACKS) >= 80
    assert all(bool(one.refused) != bool(one.bounded) for one in ATTACKS)


@pytest.mark.parametrize("attack", REFUSED, ids=lambda one: one.name)
def test_the_gate_refuses_and_says_why(attack: Attack) -> None:
    with pytest.raises(Refused) as refusal:
        Gate(TABLES).check(attack.sql)
    assert attack.refused in str(refusal.value)
    assert len(str(refusal.value)) < 2000


@pytest.mark.parametrize("attack", BOUNDED, ids=lambda one: one.name)
async def test_what_passes_the_gate_ends_at_a_limit_or_gives_own_rows(
    attack: Attack, database: SampleDatabase
) -> None:
    seconds = 60 if attack.bounded == "rows" else 1  # a busy machine is no finding
    async with database.execution(query_seconds=seconds) as execution:
        outcome = await _outcome(execution, attack.sql)
        assert re.search(attack.bounded, outcome)
        assert VAULT_CANARY not in outcome
        # The server still works, and so does this tenant's pool.
        while "rows" not in (after := await _outcome(execution, "select count(*) from services")):
            assert "too long" in after  # pytest's timeout ends it


async def _outcome(execution: Execution, sql: str) -> str:
    try:
        found = await execution.query(caller("ferries"), sql, [], 10)
    except ToolError as error:
        return str(error)
    return json.dumps(["rows", found.rows])


def test_the_settings_name_the_tables_of_the_gate(database: SampleDatabase) -> None:
    settings: DatabaseSettings = database.settings()
    assert settings.table_names() == TABLES
