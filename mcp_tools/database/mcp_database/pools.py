"""Connections of the reading roles: one role for each tenant, logged in with its own password.

Nothing switches roles after the login, so no SQL can: the rows of another tenant are behind
another password.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from opentelemetry.trace import SpanKind

from bulkhead.auth import Principal
from bulkhead.mcp.tools import ToolError
from bulkhead.settings import read_secret
from bulkhead.telemetry import names
from bulkhead.telemetry.spans import span
from mcp_database.errors import DOWN, told
from mcp_database.settings import DatabaseSettings
from mcp_database.values import SERVER_SETTINGS, Connection, use_text

logger = logging.getLogger(__name__)

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_IDLE_SECONDS = 60.0

_MAY_MORE_THAN_READ = """
SELECT r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
    OR has_database_privilege(current_database(), 'CREATE, TEMPORARY')
    OR EXISTS (SELECT 1 FROM pg_auth_members WHERE member = r.oid)
    OR EXISTS (SELECT 1 FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE'))
    OR EXISTS (
        SELECT 1 FROM pg_class
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
          AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
          AND (relowner = r.oid OR has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))
    )
FROM pg_roles r WHERE r.rolname = session_user
"""


class Pools:
    """The connections of every tenant's role; they open when they are first needed."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._roles = settings.roles()
        self._pools: dict[str, Pool] = {}
        self._free = {
            role: asyncio.Semaphore(settings.connections) for role in self._roles.values()
        }

    async def close(self) -> None:
        """End every connection."""
        for pool in self._pools.values():
            pool.terminate()
        self._pools.clear()

    @asynccontextmanager
    async def reading(
        self, principal: Principal, operation: str = "SELECT"
    ) -> AsyncIterator[Connection]:
        """A connection of the role of the caller's tenant, in a transaction that only reads.

        Its span says which `operation` it is for and never the statement, which holds values.
        Raises `ToolError` for a tenant without a role, and while the database gives none.
        """
        role = self._roles.get(principal.tenant)
        if role is None:
            raise ToolError("your tenant has no access to this database")
        database = self._settings.postgres_database
        about = {
            names.DB_SYSTEM: "postgresql",
            names.DB_NAMESPACE: database,
            names.DB_OPERATION: operation,
        }
        with span(f"{operation} {database}", about, SpanKind.CLIENT):
            async with self._connection(role) as connection:
                with told():
                    async with connection.transaction(readonly=True):
                        yield connection

    async def ping(self) -> None:
        """Raise `ToolError` unless PostgreSQL answers the first role.

        Where all of its connections run queries there is none to ask with, and they, which end in
        time, say as much.
        """
        role = next(iter(self._roles.values()))
        if self._free[role].locked():
            return
        async with self._connection(role) as connection:
            with told():
                await connection.fetchval("SELECT 1", timeout=self._settings.connect_seconds)

    @asynccontextmanager
    async def _connection(self, role: str) -> AsyncIterator[Connection]:
        try:
            async with asyncio.timeout(self._settings.query_seconds):
                await self._free[role].acquire()
        except TimeoutError as error:
            raise ToolError("too many queries run already; try again in a second") from error
        try:
            with told():
                pool = await self._pool(role)
                try:
                    connection = await pool.acquire(timeout=self._settings.connect_seconds)
                except TimeoutError as error:
                    raise ToolError(DOWN) from error
            try:
                yield connection
            finally:
                with told():
                    await pool.release(connection, timeout=self._settings.connect_seconds)
        finally:
            self._free[role].release()

    async def _pool(self, role: str) -> Pool:
        pool = self._pools.get(role)
        if pool is None:
            self._pools[role] = pool = self._new_pool(role)
            await pool  # opens nothing yet: its least size is 0
        return pool

    def _new_pool(self, role: str) -> Pool:
        settings = self._settings
        password_file = settings.password_dir / role

        def password() -> str:
            """Read at each login, so that a new password needs no restart."""
            try:
                return read_secret(password_file)
            except ValueError as error:
                logger.warning("%s", error)
                raise ToolError(DOWN) from error

        return asyncpg.create_pool(
            host=settings.postgres_host,
            port=settings.postgres_port,
            database=settings.postgres_database,
            user=role,
            password=password,
            min_size=0,
            max_size=settings.connections,
            max_inactive_connection_lifetime=_IDLE_SECONDS,
            timeout=settings.connect_seconds,
            statement_cache_size=0,
            init=_prepare,
            server_settings={
                **SERVER_SETTINGS,
                "application_name": "mcp-database",
                "default_transaction_read_only": "on",
                "search_path": ", ".join(sorted({name for name, _ in settings.table_names()})),
                "standard_conforming_strings": "on",
                "statement_timeout": f"{settings.query_seconds * 1000:.0f}",
                "lock_timeout": "1000",
                "idle_in_transaction_session_timeout": "10000",
            },
        )


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Refuse a role that may do more than read; fix how values are exchanged."""
    if await connection.fetchval(_MAY_MORE_THAN_READ) is not False:
        logger.error("the role may do more than read: the server does not use it")
        raise ToolError("the database's role is set up wrongly; an operator must look at it")
    await use_text(connection)
