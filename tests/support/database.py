"""The sample database on a real PostgreSQL, and callers of its tenants."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from serving import free_port
from state_folder import state_folder

from bulkhead.auth import Principal, Role
from bulkhead.tool_tokens import new_signing_key
from embedded.postgres import ADMIN, new_password, running
from mcp_database.execution import Execution
from mcp_database.gate import Gate
from mcp_database.pools import Pools
from mcp_database.sample.load import load
from mcp_database.settings import DatabaseAddress, DatabaseSettings

VAULT_CANARY = "canary-vault-5d21c7"
"""In a table that no reading role may see."""


@dataclass(frozen=True)
class SampleDatabase:
    """A running PostgreSQL with the sample database in it."""

    port: int
    folder: Path
    admin_password: str
    stop: Callable[[], None]
    """Ends PostgreSQL before the block does."""

    def settings(self, **more: object) -> DatabaseSettings:
        """Settings of a tool server for it."""
        values = {
            "postgres_port": self.port,
            "password_dir": self.folder / "passwords",
            "signing_key_file": self.folder / "signing-key",
            **more,
        }
        return DatabaseSettings.model_validate(values)

    def address(self) -> DatabaseAddress:
        """Where the loader finds it."""
        return DatabaseAddress(postgres_port=self.port, password_dir=self.folder / "passwords")

    @asynccontextmanager
    async def admin(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """A superuser's connection, for looking from outside."""
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=ADMIN, password=self.admin_password,
            database="harbour",
        )  # fmt: skip
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def as_role(self, role: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """A reading role's own connection, with no gate before it."""
        password = (self.folder / "passwords" / role).read_text(encoding="ascii")
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=role, password=password, database="harbour"
        )
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def execution(self, **more: object) -> AsyncIterator[Execution]:
        """What runs statements, without a server around it."""
        settings = self.settings(**more)
        pools = Pools(settings)
        try:
            yield Execution(pools, Gate(settings.table_names()), settings)
        finally:
            await pools.close()


@contextmanager
def sample_database() -> Iterator[SampleDatabase]:
    """Start PostgreSQL on a free port and load the sample; both are gone after the block."""
    with state_folder() as folder:
        (folder / "signing-key").write_text(new_signing_key(), encoding="ascii")
        password, port = new_password(), free_port()
        with ExitStack() as server:
            server.enter_context(running(folder / "postgres", port, password))
            database = SampleDatabase(port, folder, password, server.close)
            asyncio.run(load(database.address(), ADMIN, password))
            yield database


def caller(tenant: str = "default") -> Principal:
    """A reader of the tenant."""
    return Principal("key-1", tenant, frozenset(), Role.READER)
