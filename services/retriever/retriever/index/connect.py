"""One async Qdrant client for both modes: a server by address, or embedded in a folder."""

import asyncio
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

from qdrant_client import AsyncQdrantClient, QdrantClient

from retriever.index.quick import CALLS, hasten


class _Embedded:
    """Embedded Qdrant behind the async client's methods.

    `AsyncQdrantClient(path=…)` computes on the event loop. This one computes in a thread of its
    own: a single one, because embedded Qdrant is not made for several.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qdrant")
        self._client = self._thread.submit(self._open, path).result()

    @staticmethod
    def _open(path: Path) -> QdrantClient:
        # It says so at every start; that payload indexes do nothing here is in our own docs.
        warnings.filterwarnings("ignore", message="Payload indexes have no effect")
        warnings.filterwarnings("ignore", message="Local mode is not recommended")
        client = QdrantClient(path=str(path))
        _prepare(client)
        return client

    def __getattr__(self, name: str) -> Any:
        quick = CALLS.get(name)
        method = partial(quick, self._client) if quick else getattr(self._client, name)

        def compute(args: Any, kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if name == "create_collection":
                _prepare(self._client)
            elif name in ("upsert", "delete"):
                _sync(self._path)
            return result

        async def call(*args: Any, **kwargs: Any) -> Any:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, compute, args, kwargs)

        return call

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._client.close)
        self._thread.shutdown()


def _prepare(client: QdrantClient) -> None:
    """Make the collections quick to search, and put their storage, SQLite, on a write-ahead log.

    Embedded Qdrant commits point by point, and by default each commit waits for the disk several
    times: 20 ms a chunk, in which no search runs. With the log a commit is a write; `_sync` waits
    for the disk once for a whole call. There is no public way to the connection.
    """
    local: Any = client._client
    for collection in local.collections.values():
        hasten(collection)
        collection.storage.storage.execute("PRAGMA journal_mode = WAL")
        collection.storage.storage.execute("PRAGMA synchronous = NORMAL")


def _sync(path: Path) -> None:
    """Have what was written on the disk before anybody is told of it."""
    for log in path.glob("collection/*/storage.sqlite-wal"):
        descriptor = os.open(log, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def connect(url: str | None, api_key: str | None, path: Path, timeout: int) -> AsyncQdrantClient:
    """A client of the server at `url`, or of the embedded Qdrant in `path` when there is none.

    Raises `RuntimeError` when another process has the folder open.
    """
    if url is None:
        return cast(AsyncQdrantClient, _Embedded(path))
    return AsyncQdrantClient(url=url, api_key=api_key, timeout=timeout, check_compatibility=False)
