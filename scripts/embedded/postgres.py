"""PostgreSQL of the embedded mode: the binaries of a wheel, in a folder, on a port of loopback."""

import fcntl
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded.errors import PortTaken, StackError
from embedded.postgres_home import Home, find, programs

ADMIN = "postgres"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
BACKEND_BYTES = 256 * 2**20
"""Most memory that one backend may take: SQL can double a text until this ends it."""

_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "logging_collector": "off",
    # A statement that fails may hold anything, and so may its error; its caller is told.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "fsync": "on",
}


@contextmanager
def running(
    folder: Path, port: int, admin_password: str, output: int | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """PostgreSQL with its data in `folder`, from when it takes connections to the block's end.

    `folder` is made where it is missing, by root as a link; `admin_password` is that of the
    superuser `postgres` from then on. Its log goes to `output`, ours if left out.
    Raises `StackError`: the port is taken, another process serves the folder, or it will not run.
    """
    home = find(folder)
    data = home.data
    with _alone(data):
        binaries = programs(home)
        _stop_orphan(home, binaries)
        _check_port(port)
        if not data.exists():
            _initialise(home, binaries, admin_password)
        options = [word for pair in _OPTIONS.items() for word in ("-c", "=".join(pair))]
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *options]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            cwd=data, preexec_fn=_bound_memory, **home.user,
        )  # fmt: skip
        try:
            _wait_until_ready(process, binaries, port)
            yield process
        finally:
            _stop(process)


def new_password() -> str:
    """A random password, for a secret file."""
    return secrets.token_urlsafe(32)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder's lock; raises `StackError` where another process holds it."""
    with Path(f"{folder}.lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(f"PostgreSQL runs in {folder} already") from error
        yield


def _stop_orphan(home: Home, binaries: Path) -> None:
    """End a server that outlived the one who started it: nobody holds the folder's lock."""
    if (home.data / "postmaster.pid").exists():
        stop = [str(binaries / "pg_ctl"), "stop", "-m", "fast", "-s", "-D", str(home.data)]
        subprocess.run(stop, cwd=home.data, stderr=subprocess.DEVNULL, timeout=60, **home.user)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(f"port {port}, for PostgreSQL, is taken") from error


def _initialise(home: Home, binaries: Path, password: str) -> None:
    """Make a cluster in which everyone needs a password; a run that is cut off leaves none."""
    fresh = Path(f"{home.data}.new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    home.own(fresh)
    with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=fresh.parent) as file:
        file.write(password)
        file.flush()
        home.own(Path(file.name))
        made = subprocess.run(
            [
                str(binaries / "initdb"), "--auth=scram-sha-256", "--encoding=UTF8",
                "--locale-provider=builtin", "--locale=C.UTF-8", f"--username={ADMIN}",
                f"--pwfile={file.name}", "-D", str(fresh),
            ],
            cwd=fresh, capture_output=True, text=True, errors="replace", **home.user,
        )  # fmt: skip
    if made.returncode:
        last = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise StackError(f"PostgreSQL's folder cannot be made: {last}")
    fresh.rename(home.data)


def _bound_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (BACKEND_BYTES, BACKEND_BYTES))


def _wait_until_ready(process: "subprocess.Popen[bytes]", binaries: Path, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready).returncode:
        if process.poll() is not None:
            raise StackError("PostgreSQL ended while it started; its output says why")
        if time.monotonic() > deadline:
            raise StackError(f"PostgreSQL was not ready after {START_SECONDS:.0f} s")
        time.sleep(0.05)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """A fast shutdown: sessions are ended and all is written. Killed only if that hangs."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)  # at once; the next start recovers from the log
        process.wait()
