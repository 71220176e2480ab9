"""Makes a backup while all goes on: rows, then points, with the points held meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qdrant_client import models
from sqlalchemy import URL

from backing_up import points, rows
from backing_up.archive import BackupError, Lock, Writing, writing
from bulkhead import __version__
from retriever.database import Database, database_url
from retriever.index.collection import Stamp
from retriever.index.connect import connect
from retriever.servers import qdrant_server
from retriever.settings import RetrieverSettings
from retriever.state.holds import HoldLost, hold
from retriever.state.schema import HEAD


async def create(folder: Path, lock: Lock, settings: RetrieverSettings) -> dict[str, Any]:
    """Back up what these settings speak of into the new `folder`; gives the manifest.

    Raises `BackupError`, `Unavailable`, `ValueError`; there is no folder then.
    """
    url = database_url(settings.database_url, settings.database_password_file)
    database = Database(url)
    began = time.monotonic()
    try:
        with writing(folder, lock) as backup:
            backup.manifest["began_at"] = _now()
            try:
                async with hold(database):
                    await _copy(backup, url, settings)
                    backup.manifest["held_seconds"] = round(time.monotonic() - began, 2)
            except HoldLost as error:
                raise BackupError(str(error)) from error
            backup.manifest["ended_at"] = _now()
    finally:
        await database.close()
    return {**backup.manifest, "files": backup.files}


async def _copy(backup: Writing, url: URL, settings: RetrieverSettings) -> None:
    found = await asyncio.to_thread(rows.dump, url, backup)
    collection = found.collection or settings.collection
    stamp, count = await _points(backup, collection, settings)
    if not count and any(one["chunks"] for one in found.tenants.values()):
        raise BackupError(f"Qdrant has no chunk in {collection!r}: is it the one of the database?")
    backup.manifest |= {
        "release": __version__,
        "schema": HEAD,
        "collection": collection,
        "stamp": stamp.metadata() if stamp else None,
        "tenants": found.tenants,
        "points": count,
        "revoked": found.revoked,
    }


async def _points(
    backup: Writing, collection: str, settings: RetrieverSettings
) -> tuple[Stamp | None, int]:
    count = 0
    server = qdrant_server(settings)
    if server is None:
        folder = settings.data_dir / "qdrant"
        stamp = points.stamp_of_folder(folder, collection)
        with backup.file("points") as file:
            if stamp:
                for one in await asyncio.to_thread(
                    lambda: list(points.of_folder(folder, collection))
                ):
                    points.write(file, one)
                    count += 1
        return stamp, count
    client = connect(server, settings.data_dir / "qdrant")
    try:
        stamp = await points.stamp_of_server(client, collection)
        with backup.file("points") as file:
            async for one in _of(stamp, points.of_server(client, collection)):
                points.write(file, one)
                count += 1
    finally:
        await client.close()
    return stamp, count


async def _of(
    stamp: Stamp | None, found: AsyncIterator[models.PointStruct]
) -> AsyncIterator[models.PointStruct]:
    if stamp:
        async for one in found:
            yield one


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
