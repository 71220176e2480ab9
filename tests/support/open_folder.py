"""A temporary folder that PostgreSQL can get to."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_folder() -> Iterator[Path]:
    """An empty folder, gone after the block, that other users may be let into.

    Not under pytest's: PostgreSQL runs as nobody where the tests run as root.
    """
    folder = Path(tempfile.mkdtemp(prefix="bulkhead-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
