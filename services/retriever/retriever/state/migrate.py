"""Brings the schema up to this release's: all steps in one transaction, one process at a time.

The lock is the transaction's own, so it ends with it whatever becomes of the process, and a pooler
in transaction mode may stand between.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Text, column, create_engine, func, select, table
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from retriever.state.locks import MIGRATION
from retriever.state.schema import HEAD

if TYPE_CHECKING:
    from alembic.config import Config

_STEPS = Path(__file__).parent / "migrations"
_VERSION = table("alembic_version", column("version_num", Text))


async def migrate(engine: AsyncEngine) -> bool:
    """Bring the schema up; whether there was anything to do.

    Raises `ValueError` where a later release made it.
    """
    if await _is_there(engine):
        return False
    async with engine.begin() as connection:
        await connection.execute(select(func.pg_advisory_xact_lock(MIGRATION)))
        return bool(await connection.run_sync(_upgrade))


async def _is_there(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        try:
            return await _version(connection) == HEAD
        except ProgrammingError:  # a database with nothing in it
            return False


async def _version(connection: AsyncConnection) -> str | None:
    return (await connection.execute(select(_VERSION.c.version_num))).scalar()


def _configuration(connection: Connection) -> "Config":
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    return configuration


def _upgrade(connection: Connection) -> bool:
    # Alembic takes half a second to import, and a start seldom needs it.
    from alembic import command
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    configuration = _configuration(connection)
    known = MigrationContext.configure(connection).get_current_revision()
    if known == HEAD:  # another process was first
        return False
    try:
        if known is not None:
            ScriptDirectory.from_config(configuration).get_revision(known)
        command.upgrade(configuration, HEAD)
    except CommandError as error:
        raise ValueError(f"the database's schema is not this release's: {error}") from error
    return True


def upgrade(url: URL) -> bool:
    """The same, for a program without an event loop."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(MIGRATION)))
            return _upgrade(connection)
    finally:
        engine.dispose()
