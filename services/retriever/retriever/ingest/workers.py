"""Parsing and chunking in processes that can be killed, away from the event loop.

A document can hang a parser, crash it or eat memory, so each runs in a worker of a pebble pool: a
worker over its time, over its memory or crashed costs that document and nothing else, and is
replaced. Workers are forked from a clean server process (`forkserver`), never from this one, which
has threads; they load neither the web framework nor the model.
"""

import asyncio
import hashlib
import multiprocessing
import os
import resource
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pebble import ProcessExpired, ProcessFuture, ProcessPool
from tokenizers import Tokenizer

from retriever.ingest.chunk import Chunk, Chunker
from retriever.ingest.parse import MARKED_UP, Parsed, ParseError, ParseLimits, parse

MIB = 1024 * 1024

Part = tuple[int, int]
"""Of a file: the first byte, and how many."""

# A worker whose parent is gone is not watched by it any more, so it ends itself this long after
# its document's time.
_ORPHAN_GRACE_SECONDS = 10


@dataclass(frozen=True)
class Prepared:
    """A document ready to embed: its text and where its chunks lie in it."""

    parsed: Parsed
    chunks: list[Chunk]
    seconds: float
    """How long both took, without the wait for a worker."""


@dataclass(frozen=True)
class _Settings:
    """What a worker is told when it starts."""

    tokenizer_json: str
    max_tokens: int
    overlap_tokens: int
    limits: ParseLimits
    timeout: float
    memory_bytes: int


class ParserPool:
    """A pool of parser processes for one event loop. Workers start with the first document."""

    def __init__(
        self,
        tokenizer_json: str,
        *,
        max_tokens: int,
        overlap_tokens: int = 0,
        limits: ParseLimits | None = None,
        max_workers: int = 1,
        max_tasks: int = 1000,
        timeout: float = 60.0,
        memory_bytes: int = 1024 * MIB,
    ) -> None:
        """Set up a pool; no process starts yet.

        `tokenizer_json`: text of the embedding model's tokenizer.json, for Chunker together with
        `max_tokens` and `overlap_tokens`. `max_tasks`: documents after which a worker is replaced;
        it grew by nothing over 3,600, and a new one takes 0.1 s to start. `timeout`: seconds for
        one document, its time in the queue not counted. `memory_bytes`: a worker's address space
        (RLIMIT_AS), which counts what is mapped, not what is used: an idle worker has about 120 MiB
        of it, one with 20 million characters of text took 290. Raises
        ValueError on a tokenizer or limits that cannot work.
        """
        self._settings = _Settings(
            tokenizer_json,
            max_tokens,
            overlap_tokens,
            limits if limits is not None else ParseLimits(),
            timeout,
            memory_bytes,
        )
        _chunker(self._settings)
        self._max_workers = max_workers
        self._max_tasks = max_tasks
        self._pool = self._new_pool()
        self._started: ProcessPool | None = None
        self._futures: set[ProcessFuture[Prepared]] = set()
        self._closed = False

    async def prepare(
        self,
        path: Path,
        filename: str,
        media_type: str | None,
        digest: str | None = None,
        part: Part | None = None,
    ) -> Prepared:
        """Parse and chunk a file, or a part of it; cancelling the caller kills the work.

        `digest`, the SHA-256 of its bytes in hex, is checked if given: uploads are not forced onto
        the disk one by one, so a power failure can cut one short. Raises ParseError (also
        `timeout`, `crashed`, and `too_large` for memory), OSError if the file cannot be read, and
        RuntimeError once the pool is closed.
        """
        pool, work = self._pool, (path, filename, media_type, digest, part)
        try:
            return await self._run(pool, work)
        except BrokenProcessPool:
            # A worker died between documents (the kernel's out-of-memory killer, an operator) and
            # pebble gave the whole pool up. Once more on a new one.
            await self._replace(pool)
        try:
            return await self._run(self._pool, work)
        except BrokenProcessPool:
            raise ParseError("crashed", "The document parser cannot be kept running.") from None

    def close(self) -> None:
        """End every worker at once; documents in work fail with RuntimeError. Takes about 0.2 s."""
        self._closed = True
        for future in list(self._futures):
            future.cancel()
        _stop(self._pool)

    async def _run(
        self, pool: ProcessPool, work: tuple[Path, str, str | None, str | None, Part | None]
    ) -> Prepared:
        if self._started is not pool:
            await asyncio.to_thread(_start, pool)
            self._started = pool
        if self._closed:
            raise RuntimeError("the parser pool is closed")
        try:
            future = pool.schedule(_prepare, args=work, timeout=self._settings.timeout)
        except RuntimeError as error:  # what pebble says of a pool that has ended
            raise BrokenProcessPool from error
        self._futures.add(future)
        try:
            return await asyncio.wrap_future(future)
        except (TimeoutError, MemoryError, ProcessExpired) as error:
            self._explain(error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise RuntimeError("the parser pool was closed") from None
            raise
        finally:
            self._futures.discard(future)

    def _explain(self, error: Exception) -> NoReturn:
        """Raise what happened to a worker as its document's error."""
        memory = f"{self._settings.memory_bytes // MIB:,} MiB of memory"
        if isinstance(error, TimeoutError):
            raise ParseError(
                "timeout", f"The document took more than {self._settings.timeout:g} s to read."
            ) from error
        if isinstance(error, ProcessExpired):
            # Native code ends its process where Python raises MemoryError, so it may be either.
            raise ParseError(
                "crashed",
                f"The document crashed its parser: it is damaged or needs more than {memory}.",
            ) from error
        raise ParseError("too_large", f"The document needs more than {memory} to read.") from error

    async def _replace(self, broken: ProcessPool) -> None:
        if self._pool is broken:
            self._pool = self._new_pool()
            await asyncio.to_thread(_stop, broken)

    def _new_pool(self) -> ProcessPool:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        return ProcessPool(
            max_workers=self._max_workers,
            max_tasks=self._max_tasks,
            initializer=_start_worker,
            initargs=(self._settings,),
            context=context,
        )


def _start(pool: ProcessPool) -> bool:
    """Start the pool's processes, once: the first takes half a second, so not on the event loop."""
    return pool.active


def _stop(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()


def _chunker(settings: _Settings) -> Chunker:
    try:
        tokenizer = Tokenizer.from_str(settings.tokenizer_json)
    except Exception as error:  # the tokenizers library raises no narrower type
        raise ValueError(f"not a tokenizer.json: {error}") from error
    return Chunker(tokenizer, settings.max_tokens, settings.overlap_tokens)


# What follows runs in a worker.

_worker: tuple[_Settings, Chunker] | None = None


def _start_worker(settings: _Settings) -> None:
    global _worker
    # The default action ends a worker at once, even inside native code, which pebble's handler in
    # Python would have to wait for.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each thread would reserve address space
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (settings.memory_bytes, settings.memory_bytes))
    _worker = settings, _chunker(settings)


def _read(path: Path, part: Part | None) -> bytes:
    if part is None:
        return path.read_bytes()
    start, size = part
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def _prepare(
    path: Path, filename: str, media_type: str | None, digest: str | None, part: Part | None
) -> Prepared:
    if _worker is None:
        raise RuntimeError("the worker was not started by a ParserPool")
    settings, chunker = _worker
    started = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, settings.timeout + _ORPHAN_GRACE_SECONDS)
    try:
        settings.limits.check_bytes(part[1] if part else path.stat().st_size)
        data = _read(path, part)
        if digest is not None and hashlib.sha256(data).hexdigest() != digest:
            raise ParseError("invalid", "The upload was damaged on our disk; send it again.")
        parsed = parse(data, filename, media_type, settings.limits)
        chunks = chunker.split(parsed.text, markdown=parsed.media_type in MARKED_UP)
        return Prepared(parsed, chunks, time.perf_counter() - started)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
