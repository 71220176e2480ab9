"""A real PgBouncer in transaction mode before the PostgreSQL that tests share; it takes TLS alone.

Clients name the database of a test, and log in with a password (SCRAM).
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from certificates import self_signed
from serving import free_port
from state import server

from embedded.postgres_home import find
from retriever.database import database_url

PASSWORD = "password-of-a-pooler"


class Pooler:
    """Where it is reached, and what its clients are told."""

    def __init__(self, folder: Path, sessions: int) -> None:
        """`sessions`: of the server, for one database."""
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            pytest.skip("pgbouncer is not installed")
        self._port = free_port()
        self.password_file = folder / "pooler-password"
        self.password_file.write_text(PASSWORD)
        # It does not run as root either.
        self._home = find(folder / "pooler")
        self.certificate, self._program = folder / "pooler.pem", program
        self._write(*self_signed(), sessions)

    def url(self, database: str, certificate: Path | None = None) -> str:
        """As RETRIEVER_DATABASE_URL takes it."""
        return (
            f"postgresql://postgres@127.0.0.1:{self._port}/{database}"
            f"?sslmode=verify-full&sslrootcert={certificate or self.certificate}"
        )

    def _write(self, key: bytes, certificate: bytes, sessions: int) -> None:
        self.certificate.write_bytes(certificate)
        folder = self._home.data
        folder.mkdir(mode=0o700)
        socket = database_url(server().url("postgres"), None).query["host"]
        told = f"""
[databases]
* = host={socket} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self._port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 500
auth_type = scram-sha-256
auth_file = {folder / "users"}
client_tls_sslmode = require
client_tls_key_file = {folder / "key"}
client_tls_cert_file = {folder / "certificate"}
"""
        files = {
            "pgbouncer.ini": told.encode(),
            "users": f'"postgres" "{PASSWORD}"\n'.encode(),
            "key": key,
            "certificate": certificate,
        }
        for name, content in files.items():
            (folder / name).write_bytes(content)
            self._home.own(folder / name)
        self._home.own(folder)

    @contextmanager
    def running(self) -> Iterator["Pooler"]:
        log = self.password_file.with_name("pooler.log")
        with log.open("wb") as words:
            process = subprocess.Popen(
                [self._program, str(self._home.data / "pgbouncer.ini")],
                cwd=self._home.data, stdout=words, stderr=words, **self._home.user,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            url = database_url(self.url("postgres"), self.password_file)
            while True:
                try:
                    address = url.set(drivername="postgresql")
                    psycopg.connect(address.render_as_string(hide_password=False)).close()
                    break
                except psycopg.OperationalError:
                    assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
            yield self
        finally:
            process.kill()
            process.wait(60)
            if self._home.user:
                shutil.rmtree(self._home.data.parent, ignore_errors=True)


@contextmanager
def pooling(folder: Path, sessions: int = 8) -> Iterator[Pooler]:
    """A pooler until the block ends; skips the test where there is no program."""
    with Pooler(folder, sessions).running() as pooler:
        yield pooler
