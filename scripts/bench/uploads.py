"""What an upload costs that waits in PostgreSQL, by its size, beside a file on the same disk.

It starts a PostgreSQL of its own. Written and read once each, in milliseconds; the ratio is what
holds on a busy machine. Memory is what this process, and all of PostgreSQL's, had beyond what they
had before, at most; here that includes what was read, for the upload is held whole by its reader.

    python -m bench.uploads [--port 18190]
"""

import asyncio
import io
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table
from starlette.datastructures import UploadFile

from bench.database import database
from retriever.database import Database, database_url
from retriever.ingest.uploads import Uploads

_SIZES = (4 * 2**10, 2**20, 10 * 2**20, 50 * 2**20)
_ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """Of uploads of one size: milliseconds, and MiB at most beyond what there was."""

    size: int
    kept: float
    file: float
    ours: float
    postgres: float


def _held() -> tuple[float, float]:
    """MiB that this process has, and those it started, of their own."""
    ours = psutil.Process()
    theirs = 0.0
    for process in ours.children(recursive=True):
        try:
            theirs += process.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return ours.memory_info().rss / 2**20, theirs / 2**20


@contextmanager
def _most(found: list[tuple[float, float]]) -> Iterator[None]:
    """Note how much more there was at most than at the beginning."""
    ended, before, peak = threading.Event(), _held(), [0.0, 0.0]

    def look() -> None:
        while not ended.wait(0.01):
            for n, now in enumerate(_held()):
                peak[n] = max(peak[n], now - before[n])

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()
        found.append((peak[0], peak[1]))


async def _kept(uploads: Uploads, data: bytes) -> float:
    started = time.perf_counter()
    name, _ = await uploads.write_upload(UploadFile(io.BytesIO(data), size=len(data)))
    assert await uploads.read(name) == data
    taken = time.perf_counter() - started
    await uploads.remove([name])
    return taken * 1000


def _as_file(folder: Path, data: bytes) -> float:
    started = time.perf_counter()
    path = folder / "upload"
    with path.open("wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    assert path.read_bytes() == data
    taken = time.perf_counter() - started
    path.unlink()
    return taken * 1000


async def _measure(told: dict[str, str], folder: Path) -> list[Row]:
    url = database_url(
        told["RETRIEVER_DATABASE_URL"], Path(told["RETRIEVER_DATABASE_PASSWORD_FILE"])
    )
    found = []
    async with Database.open(url) as opened:
        uploads = Uploads(opened, max(_SIZES))
        for size in _SIZES:
            data = os.urandom(size)
            kept = [await _kept(uploads, data) for _ in range(_ROUNDS)]
            files = [_as_file(folder, data) for _ in range(_ROUNDS)]
            memory: list[tuple[float, float]] = []
            with _most(memory):
                await _kept(uploads, data)
            times = statistics.median(kept), statistics.median(files)
            found.append(Row(size, *times, *memory[0]))
    return found


def main(port: Annotated[int, typer.Option(help="A free port for PostgreSQL.")] = 18190) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, database(Path(name), port) as told:
        found = asyncio.run(_measure(told, Path(name)))
    columns = ("KiB", "in PostgreSQL, ms", "as a file, ms", "ratio", "MiB here", "in PostgreSQL")
    table = Table(*columns, title="an upload")
    for one in found:
        table.add_row(
            f"{one.size // 1024:,}",
            *(f"{value:.1f}" for value in (one.kept, one.file, one.kept / one.file)),
            *(f"{value:.1f}" for value in (one.ours, one.postgres)),
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
