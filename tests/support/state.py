"""PostgreSQL for the retriever's state: one server for a run of pytest, a database for a test."""

import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url

from embedded.postgres_home import Home, find, programs
from retriever.database import database_url
from retriever.state.migrate import upgrade

_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "timezone": "Asia/Kathmandu",  # nothing may lean on the server's
    "log_timezone": "UTC",
}
_numbers = itertools.count()


class Server:
    """A PostgreSQL that everybody on this machine may use, by a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self._home = find(folder / "data")
        self._programs = programs(self._home)
        self.folder = self._home.data.parent if self._home.user else folder
        self._process: subprocess.Popen[bytes] | None = None
        self._initialise()
        self.start()
        self._make_template()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {**_OPTIONS, "unix_socket_directories": str(self._home.data)}
        command = [str(self._programs / "postgres"), "-D", str(self._home.data)]
        command += [word for pair in options.items() for word in ("-c", "=".join(pair))]
        with (self._home.data / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._home.data, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=_end_with_us, **self._home.user,
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while True:
            try:
                psycopg.connect(self._words("postgres")).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self._home.data / "log").read_text()[-2000:]
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it at once, as a crash would; sessions are cut off."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()

    def execute(self, statement: str, database: str = "postgres") -> None:
        """A statement of the superuser's."""
        with psycopg.connect(self._words(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def rows(self, statement: str, database: str) -> list[tuple[object, ...]]:
        """What the superuser sees."""
        with psycopg.connect(self._words(database), autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def url(self, database: str) -> str:
        """As RETRIEVER_DATABASE_URL takes it."""
        return f"postgresql://postgres@/{database}?host={self._home.data}"

    @contextmanager
    def database(self, template: str | None = "made") -> Iterator[str]:
        """A database of this release's schema, or an empty one; its name. It is gone after."""
        name = f"t{os.getpid()}_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """End it, and remove all of it."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _words(self, database: str) -> str:
        return f"host={self._home.data} user=postgres dbname={database}"

    def _initialise(self) -> None:
        home: Home = self._home
        home.data.mkdir(mode=0o700)
        home.own(home.data)
        subprocess.run(
            [
                str(self._programs / "initdb"), "--auth=trust", "--encoding=UTF8", "--no-sync",
                "--locale-provider=builtin", "--locale=C.UTF-8", "--username=postgres",
                "-D", str(home.data),
            ],
            cwd=home.data, check=True, capture_output=True, **home.user,
        )  # fmt: skip

    def _make_template(self) -> None:
        self.execute("CREATE DATABASE made TEMPLATE template0")
        upgrade(database_url(self.url("made"), None))


def _end_with_us() -> None:
    """However the tests end, by a kill too, the server does."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG, of <linux/prctl.h>


@cache
def server() -> Server:
    """This process' server, started when it is first asked for; `pytest_unconfigure` ends it."""
    return Server(Path(tempfile.mkdtemp(prefix="bulkhead-state-")))


def end_server() -> None:
    """End the server, if there is one."""
    if server.cache_info().currsize:
        server().close()
        server.cache_clear()


@contextmanager
def state() -> Iterator[URL]:
    """A database of this release's schema, for one test."""
    with server().database() as name:
        yield database_url(server().url(name), None)


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    """What the superuser sees in the database of RETRIEVER_DATABASE_URL."""
    return server().rows(statement, str(make_url(url).database))


def execute(url: str, statement: str) -> None:
    """A statement of the superuser's in the database of RETRIEVER_DATABASE_URL."""
    server().execute(statement, str(make_url(url).database))


def told(url: URL) -> str:
    """As RETRIEVER_DATABASE_URL takes it."""
    return url.set(drivername="postgresql").render_as_string()
