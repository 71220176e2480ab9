"""Uploads until they are taken in, in the database: every worker reaches them, no disk is lost.

Each is kept in blocks, so that no row is larger than one, whatever was handed in.
"""

import asyncio
import hashlib
import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from io import BytesIO
from typing import BinaryIO

from sqlalchemy import delete, exists, insert, select
from starlette.datastructures import UploadFile

from bulkhead.errors import InvalidValue, TooLarge, Unavailable
from retriever.database import Database
from retriever.state.schema import clock, job_items, upload_blocks, uploads

_BLOCK = 1 << 20
_ABANDONED = timedelta(hours=1)
"""Age of an upload that no job waits for after which whoever brought it is taken for dead."""
_WAITS = exists().where(job_items.c.upload == uploads.c.id, job_items.c.outcome.is_(None))


class Uploads:
    """Uploads under names of our own: what a client calls a file is never a name here."""

    def __init__(self, database: Database, max_bytes: int) -> None:
        self._database = database
        self._max_bytes = max_bytes

    async def write_texts(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """Keep texts, in UTF-8: all, or none. Of each its name and the SHA-256 of its bytes."""
        try:
            contents = [text.encode() for text in texts]
        except UnicodeEncodeError as error:
            raise InvalidValue("text: it holds half of a surrogate pair") from error
        if max(map(len, contents), default=0) > self._max_bytes:
            raise TooLarge(f"a document may hold at most {self._max_bytes} bytes")
        kept = [(uuid.uuid4().hex, content) for content in contents]
        async with self._database.transaction() as connection:
            await connection.execute(insert(uploads), [{"id": name} for name, _ in kept])
            await connection.execute(
                insert(upload_blocks),
                [
                    {"upload": name, "n": n, "data": content[start : start + _BLOCK]}
                    for name, content in kept
                    for n, start in enumerate(range(0, max(1, len(content)), _BLOCK))
                ],
            )
        return [(name, hashlib.sha256(content).hexdigest()) for name, content in kept]

    async def write_upload(self, upload: UploadFile) -> tuple[str, str]:
        """Keep an uploaded file; its name and the SHA-256 of its bytes."""
        if upload.size is not None and upload.size > self._max_bytes:
            raise TooLarge(f"a document may hold at most {self._max_bytes} bytes")
        name, digest, n = uuid.uuid4().hex, hashlib.sha256(), 0
        async with self._database.transaction() as connection:
            await connection.execute(insert(uploads).values(id=name))
            while (block := await _read(upload.file)) or n == 0:
                digest.update(block)
                await connection.execute(insert(upload_blocks).values(upload=name, n=n, data=block))
                n += 1
        return name, digest.hexdigest()

    async def read(self, name: str) -> bytes | None:
        """The bytes, or none where they are gone."""
        blocks = (
            select(upload_blocks.c.data)
            .where(upload_blocks.c.upload == name)
            .order_by(upload_blocks.c.n)
        )
        whole, found = BytesIO(), False
        async for block in self._database.each(blocks):
            found = True
            whole.write(block.data)
        return whole.getvalue() if found else None

    async def remove(self, names: Iterable[str]) -> None:
        """Remove those of the uploads that no document waits for; one already gone is no error."""
        if wanted := list(names):
            await self._database.write(delete(uploads).where(uploads.c.id.in_(wanted), ~_WAITS))

    async def sweep(self) -> None:
        """Remove what no job waits for: its process died before the job was noted, or after."""
        await self._database.write(
            delete(uploads).where(uploads.c.created_at < clock() - _ABANDONED, ~_WAITS)
        )


async def _read(file: BinaryIO) -> bytes:
    """The next block. Raises `Unavailable`: large files lie on this process' disk as they come."""
    try:
        return await asyncio.to_thread(file.read, _BLOCK)
    except OSError as error:
        raise Unavailable("storage", f"the upload cannot be kept: {error.strerror}") from error
