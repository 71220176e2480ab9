"""A real Valkey, or Redis, which speaks the same: a process of its own on loopback."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import free_port

PASSWORD = "password-of-a-test"


class ValkeyServer:
    """A server that can be stopped and started again at its port, where it begins empty."""

    def __init__(
        self, folder: Path, *options: str, tls: bool = False, configuration: Path | None = None
    ) -> None:
        self.port = free_port()
        self.url = f"valkey{'s' if tls else ''}://127.0.0.1:{self.port}"
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        if program is None:
            pytest.skip("neither valkey-server nor redis-server is installed")
        port = str(self.port)
        self._command = [
            program,
            *([str(configuration)] if configuration else []),
            *(("--port", "0", "--tls-port", port) if tls else ("--port", port)),
            *("--bind", "127.0.0.1", "--save", "", "--dir", str(folder)),
            *("--requirepass", PASSWORD, *options),
        ]
        self._log = folder / "valkey.log"
        self.password_file = folder / "valkey-password"
        self.password_file.write_text(PASSWORD)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while b"eady to accept connections" not in self._log.read_bytes():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None


@contextmanager
def serving_valkey(folder: Path, *options: str, **how: Any) -> Iterator[ValkeyServer]:
    """A server until the block ends; skips the test where there is no program."""
    server = ValkeyServer(folder, *options, **how)
    server.start()
    try:
        yield server
    finally:
        server.stop()
