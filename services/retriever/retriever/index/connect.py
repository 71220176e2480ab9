"""Qdrant by the same calls in both modes: a server over gRPC, or embedded in a folder."""

import asyncio
import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from qdrant_client import AsyncQdrantClient, QdrantClient

from retriever.index.nodes import GONE, Node, Nodes
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
                _write(self._client)
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


def _write(client: QdrantClient) -> None:
    """Write a page, as Qdrant's own log does: a deletion that finds nothing is no write here.

    So whoever makes one learns whether the disk takes writes.
    """
    local: Any = client._client
    for collection in local.collections.values():
        collection.storage.storage.execute("PRAGMA user_version = 1")


def _sync(path: Path) -> None:
    """Have what was written on the disk before anybody is told of it."""
    for log in path.glob("collection/*/storage.sqlite-wal"):
        descriptor = os.open(log, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Connection:
    """Qdrant, for what only reads and for what writes: each gives up after a time of its own."""

    reads: AsyncQdrantClient
    writes: AsyncQdrantClient

    async def close(self) -> None:
        """Close both."""
        await self.reads.close()
        if self.writes is not self.reads:
            await self.writes.close()


@dataclass(frozen=True)
class Server:
    """Where a Qdrant server is, and how it is asked: over gRPC."""

    urls: tuple[str, ...]
    """The gRPC port of one node or of several, by name or number; `https` for TLS."""
    api_key: str | None
    read_timeout: int
    write_timeout: int
    root_certificates: bytes | None = None
    """In PEM, whom to trust with TLS; none: gRPC's own list."""


def connect(server: Server | None, path: Path) -> Connection:
    """Qdrant at `server`, or embedded in the folder `path` when there is none.

    Raises `RuntimeError` when another process has the folder open.
    """
    if server is None:
        embedded = cast(AsyncQdrantClient, _Embedded(path))
        return Connection(embedded, embedded)
    return Connection(_nodes(server, server.read_timeout), _nodes(server, server.write_timeout))


def _nodes(server: Server, timeout: int) -> AsyncQdrantClient:
    nodes = [
        Node(partial(_client, server, url, timeout), named=_is_name(url), longest=timeout)
        for url in server.urls
    ]
    return cast(AsyncQdrantClient, Nodes(nodes))


def _is_name(url: str) -> bool:
    try:
        ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return True
    return False


def _client(server: Server, url: str, timeout: int) -> AsyncQdrantClient:
    options: dict[str, Any] = dict(_CHANNEL)
    if server.root_certificates:
        options["root_certificates"] = server.root_certificates
    with warnings.catch_warnings():
        # On the stack's own network, which nobody else is on, there is no TLS; see Server.urls.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        return AsyncQdrantClient(
            url=url,
            grpc_port=urlsplit(url).port or _GRPC_PORT,
            api_key=server.api_key,
            prefer_grpc=True,
            timeout=timeout,
            grpc_options=options,
            check_compatibility=False,
        )


_GRPC_PORT = 6334
_CHANNEL = {
    # A server that is back is asked again within a second; gRPC itself waits up to two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 1000,
    "grpc.max_reconnect_backoff_ms": 1000,
    # A connection whose other end is gone without a word is found and given up, idle ones too, and
    # sooner than a search is given up: there is time to ask another node.
    "grpc.keepalive_time_ms": 2000,
    "grpc.http2.ping_timeout_ms": 2500,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.max_pings_without_data": 0,
    "grpc.dns_min_time_between_resolutions_ms": 1000,
    "grpc.service_config": json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            "methodConfig": [
                {
                    "name": [{}],
                    "retryPolicy": {
                        "maxAttempts": 3,
                        "initialBackoff": "0.02s",
                        "maxBackoff": "0.1s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": [code.name for code in GONE],
                    },
                }
            ],
        }
    ),
    "grpc.per_rpc_retry_buffer_size": 64 * 2**20,  # a larger message is not sent twice
    "grpc.enable_http_proxy": 0,
}
"""Messages of any size pass: what a client asks for is bounded before it comes here."""
