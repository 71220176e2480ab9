"""From an upload to chunks: have it parsed, cut its text."""

import asyncio
import hashlib
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from bulkhead.workers import Crashed, OutOfMemory, OutOfTime
from retriever.clients.parser import Lost, ParserClient, Unreadable
from retriever.ingest.chunk import Chunk
from retriever.ingest.chunkers import BadChunks
from retriever.ingest.chunking import ChunkerPool
from retriever.ingest.items import EXTRACTED
from retriever.parsed import Parsed

_MOST_LOSSES = 3
"""Parsers that a document may take down with it before it is given up."""
_MOST_TITLE = 300


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document ready to embed: its text and where its chunks lie in it."""

    parsed: Parsed
    chunks: list[Chunk]
    chunk_seconds: float


class Preparer:
    """Reads uploads with the parser, and chunks their text."""

    def __init__(self, parser: ParserClient, chunkers: ChunkerPool) -> None:
        self._parser = parser
        self._chunkers = chunkers
        self._losses: Counter[str] = Counter()
        """By upload: how many parsers ended while they read it."""

    async def version(self, media_type: str | None) -> str | None:
        """Which parser would read it, none where none has to. Raises `Unavailable`."""
        return None if media_type == EXTRACTED else await self._parser.version()

    async def check(self) -> None:
        """Raises `Unavailable` unless a parser says that it can read."""
        await self._parser.check()

    async def prepare(
        self, upload: str, data: bytes, filename: str, media_type: str | None, digest: str
    ) -> Prepared:
        """Parse and chunk the bytes of an upload.

        `digest`, their SHA-256 in hex, is checked. Raises `Unreadable`, and `Unavailable` while no
        parser answers.
        """
        if await asyncio.to_thread(_digest, data) != digest:
            raise Unreadable("The upload was damaged where it was kept; send it again.")
        if media_type == EXTRACTED:
            parsed = _as_it_is(data, filename)
        else:
            parsed = await self._parse(data, filename, media_type, upload)
        # PostgreSQL keeps no NUL in a title.
        parsed = replace(parsed, title=parsed.title.replace("\0", "\N{REPLACEMENT CHARACTER}"))
        started = time.perf_counter()
        try:
            chunks = await self._chunkers.split(parsed.text, parsed.headings, parsed.markdown)
        except BadChunks as error:
            raise Unreadable(str(error)) from error
        except OutOfTime as error:
            raise Unreadable("The text took too long to cut into chunks.") from error
        except (OutOfMemory, Crashed) as error:
            raise Unreadable("The text needs too much memory to cut into chunks.") from error
        return Prepared(parsed, chunks, time.perf_counter() - started)

    async def _parse(
        self, data: bytes, filename: str, media_type: str | None, upload: str
    ) -> Parsed:
        try:
            parsed = await self._parser.parse(data, filename, media_type)
        except Lost as error:
            self._losses[upload] += 1
            if self._losses[upload] < _MOST_LOSSES:
                raise
            del self._losses[upload]
            raise Unreadable("The parser ended each time it read the document.") from error
        self._losses.pop(upload, None)
        return parsed


def _as_it_is(data: bytes, name: str) -> Parsed:
    text = data.decode()
    if not text.strip():
        raise Unreadable("The document holds no text.")
    stem = PurePosixPath(name.replace("\\", "/")).stem
    title = " ".join("".join(c if c.isprintable() else " " for c in stem).split())
    return Parsed(text, title[:_MOST_TITLE] or "Untitled", "text/plain")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
