"""Runs the embedded mode's PostgreSQL with the retriever's database and the sample until a signal.

Exit codes: 0 it was asked to end; 1 it cannot run; 3 the port is taken.
"""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer

from embedded import state_database
from embedded.errors import StackError
from embedded.postgres import ADMIN, running
from mcp_database.sample.load import ensure_password, load
from mcp_database.settings import DatabaseAddress

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(
    folder: Annotated[Path, typer.Argument(help="Where the data is kept; made if missing.")],
    port: Annotated[int, typer.Option(help="Port on loopback.")] = 5433,
    passwords: Annotated[
        Path | None, typer.Option(help="Folder of the passwords; by default FOLDER-passwords.")
    ] = None,
) -> None:
    """Start PostgreSQL, see that both databases are there, and stay until a signal."""
    kept = passwords or Path(f"{folder}-passwords")
    for number in _ENDS:
        signal.signal(number, _end)
    try:
        admin = ensure_password(kept / ADMIN)
        with running(folder, port, admin) as server:
            address = DatabaseAddress(
                postgres_host="127.0.0.1", postgres_port=port, password_dir=kept
            )
            # First what the retriever waits for.
            own = ensure_password(kept / state_database.NAME)
            _run(state_database.ensure(port, admin, own))
            _run(load(address, ADMIN, admin))
            print(f"PostgreSQL on 127.0.0.1:{port} holds the sample database", flush=True)
            server.wait()
            raise StackError("PostgreSQL ended though nobody asked it to")
    except StackError as error:
        print(f"postgres: {error}", file=sys.stderr)
        raise typer.Exit(error.code) from error
    except (OSError, ValueError, asyncpg.PostgresError) as error:
        print(f"postgres: the databases cannot be made: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


def _run(work: Coroutine[Any, Any, object]) -> None:
    """Run it beside this thread, which takes the signals: amid a callback of the event loop what
    `_end` raises is lost, and with it the end."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def _end(number: int, frame: object) -> None:
    for once in _ENDS:
        signal.signal(once, signal.SIG_IGN)  # another would cut the end short
    raise SystemExit(0)


if __name__ == "__main__":
    typer.run(main)
