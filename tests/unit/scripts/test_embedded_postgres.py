"""PostgreSQL of the embedded mode: alone in its folder, on loopback, never as root."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from database import SampleDatabase
from serving import free_port

from embedded.errors import PortTaken, StackError
from embedded.postgres import running


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can be let into, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="bulkhead-"))
    yield made
    shutil.rmtree(made)


def test_a_folder_is_served_once(database: SampleDatabase) -> None:
    with (
        pytest.raises(StackError, match="already"),
        running(database.folder / "postgres", free_port(), "x"),
    ):
        pass


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)), running(folder / "data", port, "x"):
            pass


def test_it_runs_as_an_ordinary_user_on_loopback_with_bounded_memory(
    database: SampleDatabase,
) -> None:
    pid = int((database.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    process = psutil.Process(pid)
    assert process.uids().effective != 0
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    assert re.search(rf"Max data size +{256 * 2**20} +{256 * 2**20} ", limits)
    tables = [Path(f"/proc/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6")]
    bound = re.findall(rf"\d: (\w+):{database.port:04X} 0+:0000 0A", "".join(tables))
    assert bound == ["0100007F"]  # 127.0.0.1, and nothing else
    rules = (database.folder / "postgres" / "pg_hba.conf").read_text(encoding="utf-8")
    used = [line.split() for line in rules.splitlines() if line and not line.startswith("#")]
    assert {words[-1] for words in used} == {"scram-sha-256"}
    assert (database.folder / "postgres").stat().st_mode & 0o777 == 0o700


def test_the_command_ends_at_sigterm_and_finds_its_data_again_after_a_kill(folder: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "embedded.sample_database", str(folder / "data"),
               "--port", str(port)]  # fmt: skip
    for end in (signal.SIGKILL, signal.SIGTERM):  # the second run meets an orphan
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as process:  # fmt: skip
            assert process.stdout
            assert "holds the sample database" in process.stdout.readline()
            server = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
            process.send_signal(end)
            assert process.wait(30) == (0 if end == signal.SIGTERM else -end)
    assert not psutil.pid_exists(server)
    assert not (folder / "data" / "postmaster.pid").exists()
    secret = Path(f"{folder / 'data'}-passwords") / "postgres"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.stat().st_uid == os.geteuid()
