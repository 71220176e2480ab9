"""The rows of PostgreSQL, by COPY: one transaction sees all tables as they were at one moment.

pg_dump is not asked, for the tables are made by this release's own migrations, and a pg_dump has
to be of the server's version or later.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import URL, Identity, Table

from backing_up.archive import Backup, BackupError, Writing
from retriever.state.schema import HEAD, metadata

_LEFT_OUT = {"holds", "workers"}
"""What is of running processes alone."""
TABLES: list[Table] = [one for one in metadata.sorted_tables if one.name not in _LEFT_OUT]
"""In an order in which each comes after those that it refers to."""
_SEEDED = {"key_changes"}
"""Tables that a migration puts a row into."""
_BLOCK = 2**18


@dataclass(frozen=True)
class Found:
    """What the rows say that were copied."""

    collection: str | None
    tenants: dict[str, dict[str, int]]
    """By tenant: live documents, and their chunks."""
    revoked: list[str]
    """Ids of the keys that no longer hold."""


@contextmanager
def connected(url: URL) -> Iterator[psycopg.Connection[Any]]:
    """One transaction, ended with the block. Raises `BackupError`."""
    dialect: Any = url.get_dialect()()
    words, named = dialect.create_connect_args(url)
    options = {"client_encoding": "utf8", "connect_timeout": 10, "prepare_threshold": None, **named}
    try:
        with psycopg.connect(*words, **options) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise BackupError(f"PostgreSQL: {str(error).strip().splitlines()[0]}") from error


def dump(url: URL, backup: Writing) -> Found:
    """Copy every table into the backup. Raises `BackupError`."""
    with connected(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        _check_schema(connection)
        for one in TABLES:
            statement = sql.SQL("COPY {} TO STDOUT").format(_columns(one))
            with (
                backup.file(f"rows-{one.name}") as file,
                connection.cursor().copy(statement) as copy,
            ):
                for data in copy:
                    file.write(data)
        return found(connection)


def found(connection: psycopg.Connection[Any]) -> Found:
    """What the rows say."""
    name = connection.execute("SELECT name FROM collection WHERE id = 1").fetchone()
    counts = connection.execute(
        "SELECT tenant, count(*), sum(chunks) FROM documents WHERE state = 'live' GROUP BY tenant"
        " ORDER BY tenant"
    )
    tenants = {
        tenant: {"documents": documents, "chunks": chunks} for tenant, documents, chunks in counts
    }
    revoked = connection.execute("SELECT id FROM keys WHERE revoked_at IS NOT NULL ORDER BY id")
    return Found(name[0] if name else None, tenants, [key for (key,) in revoked])


def check_empty(connection: psycopg.Connection[Any]) -> None:
    """Raise `BackupError` unless the database has this release's tables, with nothing in them."""
    _check_schema(connection)
    for one in metadata.sorted_tables:
        if one.name in _SEEDED:
            continue
        query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(one.name))
        row = connection.execute(query).fetchone()
        if row and row[0]:
            raise BackupError(
                "the database is used by a running retriever or worker: stop it"
                if one.name in _LEFT_OUT
                else f"the database is not empty: there are rows in its table {one.name}"
            )


def load(connection: psycopg.Connection[Any], backup: Backup, collection: str) -> None:
    """Copy the backup's rows into the empty tables; they show when the transaction is committed."""
    for one in TABLES:
        if one.name in _SEEDED:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(one.name)))
        statement = sql.SQL("COPY {} FROM STDIN").format(_columns(one))
        with (
            backup.file(f"rows-{one.name}") as file,
            connection.cursor().copy(statement) as copy,
        ):
            while data := file.read(_BLOCK):
                copy.write(data)
        for column in one.columns:
            if isinstance(column.identity, Identity):
                connection.execute(
                    sql.SQL(
                        "SELECT setval(pg_get_serial_sequence({}, {}),"
                        " (SELECT coalesce(max({}), 0) + 1 FROM {}), false)"
                    ).format(
                        sql.Literal(one.name),
                        sql.Literal(column.name),
                        sql.Identifier(column.name),
                        sql.Identifier(one.name),
                    )
                )
    connection.execute("DELETE FROM collection WHERE id <> 1")  # one that was being filled
    connection.execute("UPDATE collection SET name = %s", (collection,))


def _columns(table: Table) -> sql.Composed:
    names = [sql.Identifier(column.name) for column in table.columns]
    return sql.SQL("{} ({})").format(sql.Identifier(table.name), sql.SQL(", ").join(names))


def _check_schema(connection: psycopg.Connection[Any]) -> None:
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise BackupError("the database has none of the retriever's tables") from error
    if row is None or row[0] != HEAD:
        raise BackupError(
            f"the database's schema is {row and row[0]}, and this release's is {HEAD}: use the"
            " release that runs on it"
        )
