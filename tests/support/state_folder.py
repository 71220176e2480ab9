"""A temporary state folder, and what PostgreSQL keeps elsewhere for it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def state_folder() -> Iterator[Path]:
    """An empty folder that its owner alone may enter, gone after the block.

    With it goes what a link in it leads to: where the tests run as root, PostgreSQL's files.
    """
    folder = Path(tempfile.mkdtemp(prefix="bulkhead-"))
    try:
        yield folder
    finally:
        for link in filter(Path.is_symlink, folder.iterdir()):
            shutil.rmtree(link.resolve().parent)
        shutil.rmtree(folder)
