"""What an upload costs that waits in PostgreSQL, by its size, beside a file on the same disk.

It starts a PostgreSQL of its own. Written and read once each, in milliseconds; the ratio is what
holds on a busy machine.

    python -m bench.uploads [--port 18190]
"""

import asyncio
import io
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from starlette.datastructures import UploadFile

from bench.database import database
from retriever.database import Database, database_url
from retriever.ingest.uploads import Uploads

_SIZES = (4 * 2**10, 2**20, 10 * 2**20, 50 * 2**20)
_ROUNDS = 5


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


async def _measure(told: dict[str, str], folder: Path) -> list[tuple[int, float, float]]:
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
            found.append((size, statistics.median(kept), statistics.median(files)))
    return found


def main(port: Annotated[int, typer.Option(help="A free port for PostgreSQL.")] = 18190) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, database(Path(name), port) as told:
        found = asyncio.run(_measure(told, Path(name)))
    table = Table("KiB", "in PostgreSQL, ms", "as a file, ms", "ratio", title="an upload")
    for size, kept, file in found:
        table.add_row(f"{size // 1024:,}", f"{kept:.1f}", f"{file:.1f}", f"{kept / file:.1f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
