"""A Qdrant server for tests: the stand-in of the stack's tests, on a port of loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qdrant_client import QdrantClient
from qdrant_standin import Standin

from retriever.index.connect import Server

KEY = "key-of-a-test"


@contextmanager
def serving_qdrant(client: QdrantClient | None = None, **options: Any) -> Iterator[Standin]:
    """A server until the block ends, with what `client` holds, which outlives it if given."""
    standin = Standin(client or QdrantClient(":memory:"), KEY, **options)
    try:
        yield standin
    finally:
        standin.stop()


def reached(
    standin: Standin, *, key: str = KEY, read_timeout: int = 60, write_timeout: int = 60
) -> Server:
    """How the retriever reaches it."""
    return Server(f"http://127.0.0.1:{standin.port}", key, read_timeout, write_timeout)
