"""Which stores are meant, by the settings of their retriever, and what is told of a failure."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import psycopg
import typer
from pydantic import ValidationError

from backing_up import rows
from backing_up.archive import BackupError
from bulkhead.errors import ApiError
from embedded.errors import StackError
from embedded.parts import Part, parts, state
from retriever.database import database_url
from retriever.index.collection import IndexMismatchError
from retriever.settings import RetrieverSettings

_START_SECONDS = 60.0


def meant() -> tuple[RetrieverSettings, Part | None]:
    """The settings of the retriever that is meant, and the PostgreSQL that is started for them."""
    elsewhere = "RETRIEVER_DATABASE_URL" in os.environ
    found = {part.name: part for part in parts(state())}
    told = dict(found["retriever"].environment)
    if given := os.environ.get("RETRIEVER_DATA_DIR"):  # of a retriever that is not this stack's
        told["RETRIEVER_DATA_DIR"] = given
    os.environ.update(told)
    return RetrieverSettings(), None if elsewhere else found.get("postgres")


@contextmanager
def serving(part: Part | None, settings: RetrieverSettings) -> Iterator[None]:
    """The stack's own PostgreSQL, started if nobody has."""
    if part is None or _answers(settings):
        yield
        return
    logs = state().logs
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (logs / f"{part.name}.log").open("ab") as log:
        process = subprocess.Popen(part.command, env=dict(part.environment), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(settings):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BackupError(f"PostgreSQL could not be started: see {log.name}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def _answers(settings: RetrieverSettings) -> bool:
    try:
        url = database_url(settings.database_url, settings.database_password_file)
        with rows.connected(url):
            return True
    except (BackupError, ValueError):  # before its first start there is no password either
        return False


@contextmanager
def told(program: str) -> Iterator[None]:
    """What is wrong, in one line."""
    try:
        yield
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"RETRIEVER_{step}: ".upper() for step in problem["loc"][:1])
        _fail(program, f"{where}{problem['msg']}")
    except ApiError as error:
        _fail(program, error.message)
    except (BackupError, StackError, IndexMismatchError, ValueError, RuntimeError) as error:
        _fail(program, str(error))
    except psycopg.Error as error:
        _fail(program, f"PostgreSQL: {str(error).strip().splitlines()[0]}")
    except OSError as error:
        _fail(program, f"{error.filename or program}: {error.strerror}")


def _fail(program: str, reason: str) -> NoReturn:
    typer.echo(f"{program}: {reason}", err=True)
    raise typer.Exit(1)
