"""A place to try a backup in: a PostgreSQL of its own and a folder, gone at the end."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from embedded import state_database
from embedded.postgres import new_password, running
from embedded.postgres_home import find


@contextmanager
def scratch() -> Iterator[tuple[URL, Path]]:
    """An empty database, and an empty folder that nobody else reads. Raises `StackError`."""
    folder = Path(tempfile.mkdtemp(prefix="bulkhead-verify-"))
    data = folder / "postgres"
    password, port = new_password(), _free_port()
    try:
        home = find(data)
        try:
            with running(data, port, password, subprocess.DEVNULL):
                asyncio.run(state_database.ensure(port, password, password))
                yield _url(port, password), folder
        finally:
            if home.user:  # the folder holds but a link then
                shutil.rmtree(home.data.parent, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _url(port: int, password: str) -> URL:
    return URL.create(
        "postgresql+psycopg",
        state_database.NAME,
        password,
        "127.0.0.1",
        port,
        state_database.NAME,
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
