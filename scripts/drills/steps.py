"""What drills share: a clone to work in, commands and servers there, how long each step took."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import typer
from rich.table import Table

from client.screen import terminal
from embedded.parts import ROOT


class Failed(Exception):
    """A step did not do what the page says; one line for a person."""


class Drill:
    """A folder with a clone of this repository as it was last committed, set up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clone = folder / "clone"
        self.times: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what the block does."""
        began = time.monotonic()
        yield
        self.times[name] = time.monotonic() - began

    def set_up(self, name: str = "make setup") -> None:
        """Bring the clone's environment up to date. Raises `Failed`."""
        with self.step(name):
            run(self.clone, "make", "setup")


@contextmanager
def drill(keep: bool) -> Iterator[Drill]:
    """A drill, and at its end its times; `keep` leaves the clone.

    Raises `typer.Exit` where a step failed or a server did not answer.
    """
    console = terminal()
    done = Drill(Path(tempfile.mkdtemp(prefix="bulkhead-drill-")))
    try:
        with done.step("clone"):
            run(done.folder, "git", "clone", "--quiet", str(ROOT), str(done.clone))
        done.set_up()
        yield done
    except (Failed, httpx2.HTTPError) as error:
        console.print(f"drill: {error or type(error).__name__}", style="bold red", markup=False)
        raise typer.Exit(1) from error
    finally:
        if not keep:
            shutil.rmtree(done.folder, ignore_errors=True)
    table = Table("step", "seconds")
    for step, seconds in (*done.times.items(), ("in all", sum(done.times.values()))):
        table.add_row(step, f"{seconds:.1f}")
    console.print(table)


def run(folder: Path, *command: str) -> None:
    """A command, to its end. Raises `Failed` with what it said last."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {(done.stderr or done.stdout)[-800:]}")


@contextmanager
def running(
    folder: Path, told: Mapping[str, str], *command: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A command with its children, until the block ends; what it says is in `log` beside it."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | told,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def free_ports(many: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(many)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
