"""Brings a backup into an empty database and an empty Qdrant, or leaves both as they were."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

import psycopg
from sqlalchemy import URL

from backing_up import points, rows
from backing_up.archive import Backup, BackupError
from bulkhead.errors import Unavailable
from retriever.database import Database
from retriever.index.collection import Stamp
from retriever.index.connect import Connection
from retriever.index.reaching import reaching
from retriever.index.vectors import Vectors
from retriever.state.schema import HEAD

_BATCH = 64


async def restore(
    backup: Backup,
    url: URL,
    client: Connection,
    vectors: Vectors,
    collection: str,
    expected: Stamp | None = None,
) -> int:
    """Put rows and points back; how many points.

    The collection is `collection`, whatever it was called. Points of what was no live document are
    left out. `expected` is what the embedding service says now, if it was asked. Raises
    `BackupError`, `Unavailable`; nothing has changed then.
    """
    manifest = backup.manifest
    if manifest["schema"] != HEAD:
        raise BackupError(
            f"the backup's schema is {manifest['schema']}, and this release's is {HEAD}: restore"
            f" with the release {manifest['release']}, and upgrade then"
        )
    stamp = backup.stamp
    if stamp and expected and stamp != expected:
        raise BackupError(
            f"the backup's chunks are of {_named(stamp)}, and the embedding service now has"
            f" {_named(expected)}: restore with the former, then see scripts/reindex.py"
        )
    database = Database(url)
    try:
        await database.migrate()
    finally:
        await database.close()
    with rows.connected(url) as connection:
        rows.check_empty(connection)
        await points.check_empty(client, collection)
        rows.load(connection, backup, collection)
        wanted = _live(connection)
        if rows.found(connection).tenants != manifest["tenants"]:
            raise BackupError("the rows are not those that the manifest counts")
        try:
            written = await _points(backup, client, vectors, collection, stamp, wanted)
            connection.commit()
        except BaseException:
            with suppress(Unavailable), reaching():
                await client.writes.delete_collection(collection)
            raise
    return written


async def _points(
    backup: Backup,
    client: Connection,
    vectors: Vectors,
    collection: str,
    stamp: Stamp | None,
    wanted: Mapping[str, int],
) -> int:
    """Write the points of the documents in `wanted`, which says how many each has."""
    if stamp:
        await vectors.ensure(stamp)
    written: Counter[str] = Counter()
    with backup.file("points") as file:
        ours = (one for one in points.read(file) if _document(one.payload) in wanted)
        while batch := list(islice(ours, _BATCH)):
            with reaching():
                await client.writes.upsert(collection, batch, wait=True)
            written.update(_document(one.payload) for one in batch)
    lacking = [one for one, chunks in wanted.items() if written[one] != chunks]
    if lacking:
        raise BackupError(f"{len(lacking)} documents have other chunks than their rows say")
    return written.total()


def _document(payload: Any) -> str:
    return str(payload["document_id"])


def _live(connection: psycopg.Connection[Any]) -> dict[str, int]:
    found = connection.execute("SELECT id, chunks FROM documents WHERE state = 'live'")
    return dict(found.fetchall())


def _named(stamp: Stamp) -> str:
    return f"{stamp.model} {stamp.revision} ({stamp.dimension} numbers, {stamp.sparse})"
