"""Uploads on disk until they are taken in, so that a job outlives the process that accepted it.

An uploaded file is a file here. The texts of a request are parts of one: to make a file for each
was a sixth of what a short text takes of the processors beside its embedding.
"""

import asyncio
import hashlib
import io
import logging
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from starlette.datastructures import UploadFile

from bulkhead.errors import InvalidValue, TooLarge, Unavailable

logger = logging.getLogger(__name__)

_BLOCK = 1 << 20

Part = tuple[int, int]
"""Of a file: the first byte, and how many."""


class Spool:
    """A folder of uploads under names of our own: what a client calls a file is never a path."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._parts: dict[str, set[str]] = {}
        """By file: the uploads that are parts of it and not done with."""

    def place(self, name: str) -> tuple[Path, Part | None]:
        """Where the upload `name` lies: in a file, or that part of one."""
        file, *numbers = name.split(".")
        if not numbers:
            return self._folder / file, None
        start, size = map(int, numbers)
        return self._folder / file, (start, size)

    async def write_texts(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """Keep texts, in UTF-8: all, or none. Of each its name and the SHA-256 of its bytes."""
        try:
            contents = [text.encode() for text in texts]
        except UnicodeEncodeError as error:
            raise InvalidValue("text: it holds half of a surrogate pair") from error
        if max(map(len, contents), default=0) > self._max_bytes:
            raise TooLarge(f"a document may hold at most {self._max_bytes} bytes")
        file = uuid.uuid4().hex
        kept = await asyncio.to_thread(self._copy_all, file, contents)
        self._parts[file] = {name for name, _ in kept}
        return kept

    async def write_upload(self, upload: UploadFile) -> tuple[str, str]:
        """Keep an uploaded file; its name and the SHA-256 of its bytes."""
        if upload.size is not None and upload.size > self._max_bytes:
            raise TooLarge(f"a document may hold at most {self._max_bytes} bytes")
        name = uuid.uuid4().hex
        return name, await asyncio.to_thread(self._copy, name, upload.file)

    def _copy_all(self, file: str, contents: Sequence[bytes]) -> list[tuple[str, str]]:
        kept, start = [], 0
        for content in contents:
            kept.append((f"{file}.{start}.{len(content)}", hashlib.sha256(content).hexdigest()))
            start += len(content) + 1  # so that no two names are alike, even of empty texts
        self._copy(file, io.BytesIO(b"\n".join(contents)))
        return kept

    def _copy(self, name: str, file: BinaryIO) -> str:
        digest = hashlib.sha256()
        target = self._folder / name
        try:
            with target.open("wb") as opened:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    opened.write(block)
        except OSError as error:
            _unlink(target)
            raise Unavailable("storage", f"the upload cannot be kept: {error.strerror}") from error
        return digest.hexdigest()

    def remove(self, names: Iterable[str]) -> None:
        """Remove uploads that are done with.

        One already gone is no error, and one that cannot be removed, as of a read-only disk, is
        left for `keep_only`.
        """
        for name in names:
            path, part = self.place(name)
            if part is not None:
                others = self._parts.get(path.name, set())
                others.discard(name)
                if others:
                    continue
                self._parts.pop(path.name, None)
            _unlink(path)

    def keep_only(self, names: set[str]) -> None:
        """Remove every upload but these: what a process left that died before its job was noted."""
        self._parts.clear()
        files = set()
        for name in names:
            path, part = self.place(name)
            files.add(path)
            if part is not None:
                self._parts.setdefault(path.name, set()).add(name)
        for path in self._folder.iterdir():
            if path not in files:
                _unlink(path)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("an upload is left in the spool", extra={"reason": error.strerror})
