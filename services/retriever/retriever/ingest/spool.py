"""Uploads on disk until they are taken in, so that a job outlives the process that accepted it."""

import asyncio
import hashlib
import io
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from starlette.datastructures import UploadFile

from bulkhead.errors import InvalidValue, TooLarge, Unavailable

_BLOCK = 1 << 20


class Spool:
    """A folder of uploads under names of our own: what a client calls a file is never a path."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where the upload `name` lies."""
        return self._folder / name

    async def write_texts(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """Keep texts, in UTF-8: all, or none. Of each its name and the SHA-256 of its bytes."""
        try:
            contents = [text.encode() for text in texts]
        except UnicodeEncodeError as error:
            raise InvalidValue("text: it holds half of a surrogate pair") from error
        if max(map(len, contents), default=0) > self._max_bytes:
            raise TooLarge(f"a document may hold at most {self._max_bytes} bytes")
        return await asyncio.to_thread(self._copy_all, contents)

    async def write_upload(self, upload: UploadFile) -> tuple[str, str]:
        """Keep an uploaded file; its name and the SHA-256 of its bytes."""
        if upload.size is not None and upload.size > self._max_bytes:
            raise TooLarge(f"a document may hold at most {self._max_bytes} bytes")
        return await asyncio.to_thread(self._copy, upload.file)

    def _copy_all(self, contents: Sequence[bytes]) -> list[tuple[str, str]]:
        kept: list[tuple[str, str]] = []
        try:
            for content in contents:
                kept.append(self._copy(io.BytesIO(content)))
        except Unavailable:
            self.remove(name for name, _ in kept)
            raise
        return kept

    def _copy(self, file: BinaryIO) -> tuple[str, str]:
        name, digest = uuid.uuid4().hex, hashlib.sha256()
        try:
            with self.path(name).open("wb") as target:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    target.write(block)
        except OSError as error:
            self.remove([name])
            raise Unavailable("storage", f"the upload cannot be kept: {error.strerror}") from error
        return name, digest.hexdigest()

    def remove(self, names: Iterable[str]) -> None:
        """Remove uploads that are done with; one already gone is no error."""
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def keep_only(self, names: set[str]) -> None:
        """Remove every upload but these: what a process left that died before its job was noted."""
        self.remove(path.name for path in self._folder.iterdir() if path.name not in names)
