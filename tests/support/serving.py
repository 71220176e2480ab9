"""Real servers for tests: an ASGI app on a free port of loopback, in a thread."""

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serving(
    app: ASGIApp, port: int = 0, listener: socket.socket | None = None, **options: Any
) -> Iterator[str]:
    """Serve `app` until the block ends; gives its address, `http://127.0.0.1:PORT`.

    On `listener`, where given, whose address is not told. `options` go to uvicorn.
    """
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    own = listener is None
    listener = listener or socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2, **options)
    server = Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    if not started.wait(60) or not server.started:
        raise RuntimeError("the app did not start")
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}" if own else ""
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()


def until(true: Callable[[], bool], seconds: float = 240) -> None:
    """Wait until `true()`; while nobody answers it is not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx2.TransportError):
            if true():
                return
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} s")


def free_port() -> int:
    """A port that nobody listens on, for a server that is to be started, or to be missing.

    Below those that the system gives to clients: one of them would take it meanwhile.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)  # a seeded test would draw another one's
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
