"""Debian's PostgreSQL, which takes TLS alone; the wheel's is built without it."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from certificates import self_signed
from serving import free_port

from embedded.postgres_home import find

PASSWORD = "password-of-a-server"


@contextmanager
def serving_tls(folder: Path) -> Iterator[tuple[str, Path]]:
    """Its RETRIEVER_DATABASE_URL but for `sslmode` and what follows, and its certificate.

    The password is in the file `server-password`. Skips the test where there is no program.
    """
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not installed:
        pytest.skip("Debian's postgresql is not installed")
    programs, port, home = installed[-1].parent, free_port(), find(folder / "server")
    key, certificate = self_signed()
    (folder / "server.pem").write_bytes(certificate)
    (folder / "server-password").write_text(PASSWORD)
    home.data.mkdir(mode=0o700)
    home.own(home.data)
    try:
        subprocess.run(
            [
                str(programs / "initdb"), "--auth=trust", "--encoding=UTF8", "--no-sync",
                "--locale=C.UTF-8", "--username=retriever", "-D", str(home.data),
            ],
            cwd=home.data, check=True, capture_output=True, **home.user,
        )  # fmt: skip
        files = {
            "server.key": key,
            "server.crt": certificate,
            "pg_hba.conf": b"local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
        }
        for name, content in files.items():
            (home.data / name).write_bytes(content)
            (home.data / name).chmod(0o600)
            home.own(home.data / name)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(home.data),
            "ssl": "on",
            "fsync": "off",
        }
        command = [str(programs / "postgres"), "-D", str(home.data)]
        command += [word for pair in options.items() for word in ("-c", "=".join(pair))]
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=home.data, stdout=log, stderr=log, **home.user)
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    words = f"host={home.data} port={port} user=retriever dbname=postgres"
                    with psycopg.connect(words, autocommit=True) as connection:
                        connection.execute(f"ALTER USER retriever PASSWORD '{PASSWORD}'".encode())
                        connection.execute("CREATE DATABASE retriever")
                    break
                except psycopg.OperationalError:
                    told = (folder / "server.log").read_text()
                    assert process.poll() is None and time.monotonic() < deadline, told
                    time.sleep(0.05)
            yield f"postgresql://retriever@127.0.0.1:{port}/retriever", folder / "server.pem"
        finally:
            process.send_signal(signal.SIGQUIT)  # at once, with its children
            process.wait(60)
    finally:
        shutil.rmtree(home.data.parent if home.user else home.data, ignore_errors=True)
