"""SQLite for what must survive: documents, jobs, answers. One writer, readers beside it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiosqlite

from bulkhead.errors import Unavailable
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import INDEX_REFUSES
from retriever.index.reaching import disk_fault

SCHEMA_VERSION = 3
_SQLITE = {names.DB_SYSTEM: "sqlite"}

_SCHEMA = """
CREATE TABLE documents (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'live', 'deleting')),
    title TEXT NOT NULL,
    media_type TEXT NOT NULL,
    groups TEXT NOT NULL,
    metadata TEXT NOT NULL,
    pages TEXT NOT NULL,
    chunks INTEGER NOT NULL,
    characters INTEGER NOT NULL,
    text TEXT NOT NULL,
    created_at TEXT NOT NULL,
    digest TEXT NOT NULL DEFAULT '',
    parser TEXT,
    file_metadata TEXT NOT NULL DEFAULT '{}',
    warnings TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX documents_by_source ON documents (tenant, source) WHERE state = 'live';
CREATE INDEX documents_listed ON documents (tenant, created_at, id) WHERE state = 'live';

CREATE INDEX documents_unfinished ON documents (id) WHERE state != 'live';

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    key_id TEXT NOT NULL,
    role TEXT NOT NULL,
    key_groups TEXT NOT NULL,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 1,
    idempotency_key TEXT,
    fingerprint TEXT NOT NULL,
    created_at TEXT NOT NULL,
    started_at TEXT,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX one_job_an_idempotency_key ON jobs (tenant, key_id, idempotency_key);
CREATE INDEX jobs_listed ON jobs (tenant, created_at, id);

CREATE TABLE job_items (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    source TEXT NOT NULL,
    title TEXT,
    media_type TEXT,
    groups TEXT NOT NULL,
    metadata TEXT NOT NULL,
    spool TEXT NOT NULL,
    digest TEXT NOT NULL,
    outcome TEXT,
    document_id TEXT,
    chunks INTEGER NOT NULL DEFAULT 0,
    message TEXT,
    finished_at TEXT,
    warnings TEXT NOT NULL DEFAULT '[]',
    replaced TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (job_id, n)
);
CREATE INDEX job_items_waiting ON job_items (job_id, n) WHERE outcome IS NULL;

CREATE TABLE answers (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    key_id TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE feedback (
    answer_id TEXT NOT NULL REFERENCES answers (id) ON DELETE CASCADE,
    key_id TEXT NOT NULL,
    vote TEXT NOT NULL,
    comment TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (answer_id, key_id)
);
"""

_SINCE_2 = """
ALTER TABLE documents ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE documents ADD COLUMN parser TEXT;
ALTER TABLE documents ADD COLUMN file_metadata TEXT NOT NULL DEFAULT '{}';
ALTER TABLE documents ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]';
ALTER TABLE job_items ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]';
ALTER TABLE job_items ADD COLUMN replaced TEXT NOT NULL DEFAULT '[]';
"""
_STEPS = {0: _SCHEMA, 2: _SINCE_2}
"""By the version that a file has: what makes it ours."""


class Database:
    """One SQLite file: a connection that writes, behind a lock, and one that reads.

    The reader is a connection of its own so that it never sees a transaction half done.
    """

    def __init__(self, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = asyncio.Lock()
        self.refusal: str | None = None
        """Why the last transaction could not be written, until one can again."""

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator["Database"]:
        """The database at `path`, made when missing; raises `ValueError` on another version."""
        async with aiosqlite.connect(path) as writer, aiosqlite.connect(path) as reader:
            for connection in (writer, reader):
                connection.row_factory = aiosqlite.Row
                await connection.execute("PRAGMA journal_mode = WAL")
                # Every commit is on the disk before it is told: what was accepted outlives a power
                # failure, not only this process.
                await connection.execute("PRAGMA synchronous = FULL")
                await connection.execute("PRAGMA foreign_keys = ON")
                await connection.execute("PRAGMA busy_timeout = 5000")
            await _migrate(writer, path)
            await reader.execute("PRAGMA query_only = ON")
            yield cls(writer, reader)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """A transaction of the writer: committed at the end, rolled back on any exception."""
        async with self._lock:
            try:
                await self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                await self._writer.commit()
                self._taken(None)
            except sqlite3.OperationalError as error:  # a full disk, above all
                await self._writer.rollback()
                refusal = disk_fault(str(error), "the document store's disk") or (
                    f"the document store cannot write ({error})"
                )
                self._taken(refusal)
                raise Unavailable("storage", refusal) from error
            except BaseException:
                await self._writer.rollback()
                raise

    def _taken(self, refusal: str | None) -> None:
        """Note whether the last transaction was."""
        self.refusal = refusal
        INDEX_REFUSES.set(int(refusal is not None), _SQLITE)

    async def probe(self) -> None:
        """Write what changes nothing; raises `Unavailable` where that cannot be done."""
        async with self.transaction() as connection:
            await connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    async def rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[aiosqlite.Row]:
        """All rows of a query, as committed."""
        return list(await self._reader.execute_fetchall(sql, parameters))

    async def row(self, sql: str, parameters: Iterable[Any] = ()) -> aiosqlite.Row | None:
        """The first row of a query, or none."""
        rows = await self.rows(sql, parameters)
        return rows[0] if rows else None


def check_version(path: Path) -> int:
    """The schema version of the file, 0 for a new one. Raises `ValueError` if we cannot read it."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise ValueError(f"{path.name} cannot be opened: {error}") from error
    if version not in (*_STEPS, SCHEMA_VERSION):
        raise ValueError(
            f"{path.name} has schema version {version}; this release reads 2 and {SCHEMA_VERSION}"
        )
    return int(version)


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    step = _STEPS.get(check_version(path))
    if step is not None:
        # In one transaction: of a start that is cut off nothing is left.
        await connection.executescript(
            f"BEGIN; {step} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
