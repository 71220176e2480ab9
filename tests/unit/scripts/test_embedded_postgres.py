"""PostgreSQL of the embedded mode: alone in its folder, on loopback, never as root."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from database import SampleDatabase
from serving import free_port, until
from state_folder import state_folder

from embedded import postgres_home, state_database
from embedded.errors import PortTaken, StackError
from embedded.parts import ROOT
from embedded.postgres import ADMIN, running

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="others run PostgreSQL as themselves")


@pytest.fixture
def folder() -> Iterator[Path]:
    with state_folder() as made:
        yield made


def test_a_folder_is_served_once(database: SampleDatabase) -> None:
    with (
        pytest.raises(StackError, match="already"),
        running(database.folder / "postgres", free_port(), "x"),
    ):
        pass


async def test_a_statement_that_fails_is_in_no_log(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with running(folder / "data", port, "a-password"):
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user=ADMIN, password="a-password", database="postgres"
        )
        for sql in ("SELECT 'canary'::int", "SELECT canary", "SELECT 1/(length('canary')-6)"):
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute(sql)
        await connection.close()
    told = "".join(capfd.readouterr())
    assert "database system is ready" in told
    assert "canary" not in told
    conf = (ROOT / "mcp_tools/database/postgres/postgresql.conf").read_text(encoding="utf-8")
    for setting in ("log_min_messages = log", "log_min_error_statement = panic"):
        assert f"\n{setting}" in conf


async def test_the_retrievers_role_and_the_samples_do_not_reach_each_other(
    database: SampleDatabase,
) -> None:
    for _ in range(2):  # at the second start both are there
        await state_database.ensure(database.port, database.admin_password, "s3cret'word")

    async def connect(user: str, password: str, to: str) -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=database.port, user=user, password=password, database=to
        )
        try:
            assert await connection.fetchval("SELECT current_database()") == to
        finally:
            await connection.close()

    await connect("retriever", "s3cret'word", "retriever")
    reader = (database.folder / "passwords" / "harbour_reader").read_text(encoding="ascii")
    await connect("harbour_reader", reader, "harbour")
    for user, password, to in (
        ("retriever", "s3cret'word", "harbour"),
        ("retriever", "s3cret'word", "postgres"),
        ("harbour_reader", reader, "retriever"),
        ("harbour_reader", reader, "postgres"),
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connect(user, password, to)


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
            assert process.wait(60) == (0 if end == signal.SIGTERM else -end)
    assert not psutil.pid_exists(server)
    assert not (folder / "data" / "postmaster.pid").exists()
    secret = Path(f"{folder / 'data'}-passwords") / "postgres"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.stat().st_uid == os.geteuid()


def test_it_ends_at_a_signal_while_it_makes_its_databases(folder: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "embedded.sample_database", str(folder / "data"),
               "--port", str(port)]  # fmt: skip
    for moment in range(10):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            until(lambda: _answers(port))
            time.sleep(moment * 0.03)
            process.terminate()
            assert process.wait(60) == 0
        assert not _answers(port)


def _answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@as_root
def test_below_a_folder_of_roots_own_it_runs_and_nothing_is_opened_for_its_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a clone below /root: neither the state nor the installed packages can be reached."""
    wheel = postgres_home._wheel()
    own = folder / "clone"
    for name in (wheel.parent.name, f"{wheel.parent.name}.libs"):
        shutil.copytree(wheel.parent.parent / name, own / "packages" / name, symlinks=True)
    monkeypatch.syspath_prepend(str(own / "packages"))
    (own / "state").mkdir()
    before = {path: path.stat().st_mode for path in (folder, *own.rglob("*"))}

    with running(own / "state" / "postgres", free_port(), "x") as server:
        program = Path(f"/proc/{server.pid}/exe").resolve()
        assert psutil.Process(server.pid).username() == "nobody"
        assert own not in program.parents  # a copy, for nobody gets to the wheel

    data = (own / "state" / "postgres").resolve()
    assert data.stat().st_mode & 0o777 == 0o700
    place = data.parent.stat()
    assert (place.st_mode & 0o777, place.st_uid) == (0o710, 0)
    assert {path: path.stat().st_mode for path in before} == before
    shutil.rmtree(data.parent)


@as_root
def test_a_state_folder_that_was_copied_without_its_cluster_gets_a_new_one(folder: Path) -> None:
    kept = folder / "postgres"
    gone = postgres_home.PLACE / "postgres-gone" / "data"
    kept.symlink_to(gone)
    with running(kept, free_port(), "x"):
        assert (kept / "PG_VERSION").exists()
    assert kept.resolve() != gone


@as_root
def test_a_cluster_of_an_earlier_release_is_taken_along(folder: Path) -> None:
    with running(folder / "postgres", free_port(), "x"):
        pass
    place = (folder / "postgres").resolve().parent
    (folder / "postgres").unlink()
    shutil.move(place / "data", folder / "postgres")  # as it lay there: a folder, and no link
    shutil.rmtree(place)
    identity = (folder / "postgres" / "global" / "pg_control").read_bytes()[:8]

    with running(folder / "postgres", free_port(), "x"):
        assert (folder / "postgres").is_symlink()
    assert (folder / "postgres" / "global" / "pg_control").read_bytes()[:8] == identity


@as_root
def test_without_a_user_for_it_the_reason_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_home, "_UNPRIVILEGED", "no-such-user")
    with (
        pytest.raises(StackError, match="no user no-such-user here"),
        running(folder / "data", free_port(), "x"),
    ):
        pass


@as_root
def test_make_clean_takes_what_lies_elsewhere_too(tmp_path: Path) -> None:
    with running(tmp_path / ".data" / "postgres", free_port(), "x"):
        pass
    place = (tmp_path / ".data" / "postgres").resolve().parent
    subprocess.run(["make", "-f", ROOT / "Makefile", "clean"], cwd=tmp_path, check=True)
    assert not place.exists()
    assert not (tmp_path / ".data").exists()
