"""The reading roles: what each may do, and which rows it sees.

A tenant's rows are told apart by the role that is logged in, never by a setting: SQL can change
a setting, and cannot change who it runs as without a right that these roles lack.
"""

from collections.abc import Mapping

import asyncpg

TABLES = ("services", "incidents", "deployments", "costs")
OPERATIONS_ROLE = "harbour_reader"
"""Sees the rows of all tenants; each other role sees its tenant's and the shared ones."""
CONNECTIONS = 12

_ATTRIBUTES = (
    "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS"
    f" CONNECTION LIMIT {CONNECTIONS}"
)
_DEFAULTS = {
    "default_transaction_read_only": "on",
    "search_path": "harbour",
    "statement_timeout": "5s",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "10s",
    "transaction_timeout": "30s",
    "temp_file_limit": "64MB",  # only a superuser may change this one
    "work_mem": "8MB",
    "max_parallel_workers_per_gather": "0",
}

# Any role may call these by default. They wait, lock, signal, run SQL text or make objects, and no
# reader needs them: a second wall, behind the gate. set_config stays, for asyncpg needs it; what it
# can change gives a reader no row and no right.
_REVOKE = r"""
DO $$
DECLARE routine regprocedure;
BEGIN
    FOR routine IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND proname ~ '^(pg_sleep.*|pg_notify|lo_.*|loread|lowrite|pg_(try_)?advisory_'
                        '(xact_)?lock.*|(query|table|cursor|schema|database)_to_xml.*|ts_stat'
                        '|ts_rewrite|pg_export_snapshot|pg_(cancel|terminate)_backend'
                        '|pg_logical_emit_message|pg_current_xact_id|txid_current)$'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', routine);
    END LOOP;
END $$
"""


async def ensure_roles(
    connection: "asyncpg.Connection[asyncpg.Record]",
    tenant_roles: Mapping[str, str],
    passwords: Mapping[str, str],
) -> None:
    """Make the role of each tenant what it must be, whatever it was; `passwords` are by role.

    The tables must exist. Run it in a transaction, as a superuser.
    """
    database = await connection.fetchval("SELECT current_database()")
    await _execute(connection, "REVOKE ALL ON DATABASE %I FROM PUBLIC", database)
    await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    await connection.execute(_REVOKE)
    for policy in await connection.fetch(
        "SELECT policyname, tablename FROM pg_policies WHERE schemaname = 'harbour'"
    ):
        await _execute(connection, "DROP POLICY %I ON harbour.%I", *policy)
    for table in TABLES:
        await _execute(connection, "ALTER TABLE harbour.%I ENABLE ROW LEVEL SECURITY", table)
    for tenant, role in tenant_roles.items():
        await _ensure_role(connection, role, passwords[role])
        await _execute(connection, "GRANT CONNECT ON DATABASE %I TO %I", database, role)
        await _execute(connection, "GRANT USAGE ON SCHEMA harbour TO %I", role)
        for table in TABLES:
            await _execute(connection, "GRANT SELECT ON harbour.%I TO %I", table, role)
            name = f"{role}_reads"
            if role == OPERATIONS_ROLE:
                policy_sql = "CREATE POLICY %I ON harbour.%I FOR SELECT TO %I USING (true)"
                await _execute(connection, policy_sql, name, table, role)
            else:
                policy_sql = (
                    "CREATE POLICY %I ON harbour.%I FOR SELECT TO %I"
                    " USING (tenant IN (%L, 'shared'))"
                )
                await _execute(connection, policy_sql, name, table, role, tenant)


async def _ensure_role(
    connection: "asyncpg.Connection[asyncpg.Record]", role: str, password: str
) -> None:
    exists = "SELECT 1 FROM pg_roles WHERE rolname = $1"
    if not await connection.fetchval(exists, role):
        await _execute(connection, "CREATE ROLE %I", role)
    await _execute(connection, f"ALTER ROLE %I {_ATTRIBUTES} PASSWORD %L", role, password)
    await _execute(connection, "ALTER ROLE %I RESET ALL", role)
    for name, value in _DEFAULTS.items():
        await _execute(connection, "ALTER ROLE %I SET %I = %L", role, name, value)
    memberships = (
        "SELECT roleid::regrole::text FROM pg_auth_members"
        " WHERE member = (SELECT oid FROM pg_roles WHERE rolname = $1)"
    )
    for (group,) in await connection.fetch(memberships, role):
        await connection.execute(f"REVOKE {group} FROM {role}")


async def _execute(
    connection: "asyncpg.Connection[asyncpg.Record]", template: str, *values: str
) -> None:
    """Run a statement that takes no parameters; PostgreSQL itself quotes the values."""
    marks = ", ".join(f"${number}::text" for number in range(2, len(values) + 2))
    statement = await connection.fetchval(f"SELECT format($1, {marks})", template, *values)
    await connection.execute(statement)
