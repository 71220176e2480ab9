"""A client that asks and leaves, when a test says so and not when a timeout does."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2


@contextmanager
def asking(http: httpx2.Client, path: str, body: Any) -> Iterator[None]:
    """POST `body` as `http` would; the client leaves at the end of the block, without its reply."""
    request = http.build_request("POST", path, json=body)
    head = [f"POST {request.url.raw_path.decode()} HTTP/1.1".encode()]
    head += [b"%b: %b" % header for header in request.headers.raw]
    wire = b"\r\n".join([*head, b"", request.content])
    with socket.create_connection((request.url.host, request.url.port or 80)) as line:
        line.sendall(wire)
        yield
