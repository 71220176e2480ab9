"""Puts the sample database into a PostgreSQL server: tables and rows, roles and rights."""

import hashlib
import inspect
import secrets
from contextlib import suppress
from pathlib import Path

import asyncpg

from bulkhead.settings import make_secret, read_secret
from mcp_database.sample import data
from mcp_database.sample.roles import ensure_roles
from mcp_database.settings import DatabaseAddress

_SCHEMA = Path(__file__).parent / "schema.sql"
_ROWS = {
    "services": data.services,
    "incidents": data.incidents,
    "deployments": data.deployments,
    "costs": data.costs,
}
_ONE_AT_A_TIME = 8091
"""Key of the advisory lock that two loaders at once take turns by."""


async def load(address: DatabaseAddress, admin: str, admin_password: str) -> bool:
    """Make the database, its tables and its roles; what is right already is left alone.

    Safe to run at every start, also by two at once. Rows are written where the tables are missing
    or from another release: True then. `admin` must be a superuser.
    Raises `OSError` or `asyncpg.PostgresError` where the server does not do as asked.
    """
    passwords = {role: ensure_password(address.password_dir / role) for role in
                 address.roles().values()}  # fmt: skip
    await _ensure_database(address, admin, admin_password)
    connection = await _connect(address, admin, admin_password, address.postgres_database)
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})")
            written = await _ensure_tables(connection)
            await ensure_roles(connection, address.roles(), passwords)
        if written:
            await connection.execute("ANALYZE")
        return written
    finally:
        await connection.close()


def ensure_password(path: Path) -> str:
    """The password in `path`; a random one is made (mode 0600) where there is none.

    Raises `ValueError` when the file is there and cannot be used.
    """
    if not path.exists():
        with suppress(FileExistsError):
            make_secret(path, secrets.token_urlsafe(32))
    return read_secret(path)


async def _connect(
    address: DatabaseAddress, user: str, password: str, database: str
) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        host=address.postgres_host,
        port=address.postgres_port,
        user=user,
        password=password,
        database=database,
        timeout=10,
    )


async def _ensure_database(address: DatabaseAddress, admin: str, password: str) -> None:
    connection = await _connect(address, admin, password, "postgres")
    try:
        name = address.postgres_database
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            quoted = await connection.fetchval("SELECT quote_ident($1)", name)
            await connection.execute(f"CREATE DATABASE {quoted} ENCODING 'UTF8' TEMPLATE template0")
    except asyncpg.DuplicateDatabaseError:
        pass  # another loader was quicker
    finally:
        await connection.close()


async def _ensure_tables(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Write tables and rows unless the schema's comment says that these very ones are there."""
    schema = _SCHEMA.read_text(encoding="utf-8")
    digest = hashlib.sha256((schema + inspect.getsource(data)).encode()).hexdigest()
    there = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1"
    if await connection.fetchval(there, "harbour") == digest:
        return False
    await connection.execute("DROP SCHEMA IF EXISTS harbour CASCADE")
    await connection.execute(schema)
    for table, rows in _ROWS.items():
        columns = [
            name
            for (name,) in await connection.fetch(
                "SELECT attname FROM pg_attribute WHERE attrelid = ('harbour.' || $1)::regclass"
                " AND attnum > 0 AND attgenerated = '' ORDER BY attnum",
                table,
            )
        ]
        await connection.copy_records_to_table(
            table, schema_name="harbour", columns=columns, records=rows()
        )
    await connection.execute(f"COMMENT ON SCHEMA harbour IS '{digest}'")
    return True
