"""The folder of models: what is complete there, and which of it each role points to."""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fetcher.model import FetchError, Model

_COMPLETE = ".complete.json"
"""Written last, with the size of every file: what has it was checked when it came."""


class Store:
    """Models under one folder, the service's links `ROLE` beside them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, model: Model) -> Path:
        """Where the model lies, or is going to."""
        return self._folder / model.folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Held by one process at a time: a second one waits, then finds what the first brought."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def has(self, model: Model) -> bool:
        """Whether the whole model is there, each file in its size."""
        marker = self.path(model) / _COMPLETE
        if not marker.is_file():
            return False
        sizes: dict[str, int] = json.loads(marker.read_text(encoding="utf-8"))
        return all(_size(self.path(model) / name) == size for name, size in sizes.items())

    def room(self, needed: int, model: Model) -> None:
        """Raise `FetchError` unless so many bytes fit beside what is there."""
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            raise FetchError(
                f"{model} needs {needed / 1e9:.1f} GB more and {free / 1e9:.1f} GB are free where"
                " the models lie: make room, then start again"
            )

    def complete(self, model: Model, sizes: Mapping[str, int]) -> None:
        """Note that every file is there and was checked."""
        marker = self.path(model) / _COMPLETE
        new = marker.with_suffix(".new")
        new.write_text(json.dumps(dict(sizes)), encoding="utf-8")
        new.replace(marker)

    def point(self, model: Model) -> None:
        """Let the role's link lead to this model."""
        link = self._folder / model.role
        new = self._folder / f".{model.role}.new"
        new.unlink(missing_ok=True)
        new.symlink_to(model.folder)
        new.replace(link)


def held(folder: Path) -> int:
    """Bytes of a model that are here already, half-fetched files included."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def sha256(path: Path) -> str:
    """The SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def blob_id(path: Path) -> str:
    """The id that git gives a file's content: SHA-1 over its length and its bytes, hex."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
