"""The retriever's database in the embedded mode's PostgreSQL, apart from the sample's.

Its role owns it and reaches no other; the tool server's roles do not reach it.
"""

import asyncpg

from embedded.postgres import ADMIN

NAME = "retriever"
"""The database, and the role that owns it."""

_ROLE = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"


async def ensure(port: int, admin_password: str, password: str) -> None:
    """Make database and role, or the role what it must be. Raises `asyncpg.PostgresError`."""
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user=ADMIN, password=admin_password, database="postgres"
    )
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", NAME):
            await connection.execute(f"CREATE ROLE {NAME}")
        quoted = await connection.fetchval("SELECT quote_literal($1::text)", password)
        await connection.execute(f"ALTER ROLE {NAME} {_ROLE} PASSWORD {quoted}")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", NAME):
            await connection.execute(
                f"CREATE DATABASE {NAME} OWNER {NAME} ENCODING 'UTF8' TEMPLATE template0"
            )
        # By default everyone may connect to a database.
        for database in (NAME, "postgres", "template1"):
            await connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    finally:
        await connection.close()
