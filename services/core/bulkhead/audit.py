"""The audit log: who did what, as a chain of JSON lines that shows any later change.

The event loop only seals a line and queues it. One thread writes what is queued, in groups, and
moves the head, in a file of its own, once the lines are on the disk: the head is never ahead of
them, whatever ends the process.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from bulkhead.chain import ChainError, Head, follow, seal
from bulkhead.errors import Unavailable

logger = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Lines kept in memory while the disk takes none; beyond them no request is served."""
_RETRY_SECONDS = 1.0
_MOST_LOGS = 1000


class WrittenByAnother(RuntimeError):
    """Another process has this log open."""


class AuditLog:
    """A chain of lines in one file, written by one process."""

    @classmethod
    def of_folder(cls, folder: Path, instance: str) -> "AuditLog":
        """The first log of `folder` that nobody writes: of several processes each has its own, and
        one that comes back goes on with a chain that one has left. Raises as `AuditLog` does."""
        for n in range(1, _MOST_LOGS):
            with suppress(WrittenByAnother):
                return cls(folder / (f"audit-{n}.jsonl" if n > 1 else "audit.jsonl"), instance)
        return cls(folder / f"audit-{_MOST_LOGS}.jsonl", instance)

    def __init__(self, path: Path, instance: str = "") -> None:
        """Open or begin the log at `path`, to be the only one who writes it.

        `instance` stands in each line, where given: who wrote it. Cuts off a line that a crash left
        torn, which the head never named. Raises `WrittenByAnother`
        when another process has it open, `ValueError` when lines that the head names are changed or
        missing: such a log is evidence and is not written on.
        """
        self._path = path
        self._fixed = {"instance": instance} if instance else {}
        self._head_path = head_path(path)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._lock()
            self._written = self._durable = self._sealed = self._recover()
        except BaseException:
            os.close(self._file)
            raise
        self._waiting: list[tuple[bytes, Head]] = []
        self._torn = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._wake = asyncio.Event()
        self._settled = asyncio.Condition()
        self.failure: str | None = None
        """Why lines cannot be written now, if so."""

    def append(self, fields: dict[str, Any]) -> None:
        """Queue a line with `fields`; it is on the disk after `flush`, or soon without it."""
        line, self._sealed = seal({**fields, **self._fixed}, self._sealed)
        self._waiting.append((line, self._sealed))
        self._wake.set()

    async def flush(self) -> None:
        """Wait until every line so far is on the disk, or until it is known that they are not."""
        wanted = self._sealed.seq
        async with self._settled:
            await self._settled.wait_for(
                lambda: self._durable.seq >= wanted or self.failure is not None
            )

    def require(self, *, change: bool) -> None:
        """Raise `Unavailable` where the log is in no state to serve a request.

        What changes something is refused as soon as lines cannot be written. What only reads goes
        on until the lines that wait for the disk are too many to keep.
        """
        if self.failure and (change or len(self._waiting) >= MOST_WAITING):
            raise Unavailable("audit", f"the audit log cannot be written: {self.failure}")

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write what is queued, until the block ends and all of it is written."""
        writer = asyncio.create_task(self._write())
        try:
            yield
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._commit)
            except OSError as error:
                lost = {"lines": len(self._waiting), "reason": error.strerror}
                logger.critical("the audit log ends without its last lines", extra=lost)
            self.close()

    def close(self) -> None:
        """Give the log up, so that another may open it."""
        self._thread.shutdown()
        os.close(self._file)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            failure: str | None = None
            try:
                await loop.run_in_executor(self._thread, self._commit)
            except Exception as error:  # whatever it is, nobody may wait for this task for ever
                failure = getattr(error, "strerror", None) or type(error).__name__
                logger.error("the audit log cannot be written", extra={"reason": failure})
            async with self._settled:
                self.failure = failure
                self._settled.notify_all()
            if failure:
                await asyncio.sleep(_RETRY_SECONDS)
                self._wake.set()

    def _commit(self) -> None:
        """Write the lines that wait, then the head. In the thread; raises `OSError`."""
        group = self._waiting[:]
        if group:
            if self._torn:  # no half line, and none twice
                os.ftruncate(self._file, self._written.size)
            self._torn = True
            _write_all(self._file, b"".join(line for line, _ in group))
            os.fsync(self._file)
            self._torn = False
            self._written = group[-1][1]
            del self._waiting[: len(group)]
        if self._durable != self._written:
            self._store(self._written)
            self._durable = self._written

    def _store(self, head: Head) -> None:
        new = self._head_path.with_name(f"{self._head_path.name}.new")
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(handle, head.dump())
            os.fsync(handle)
        finally:
            os.close(handle)
        new.replace(self._head_path)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WrittenByAnother(f"another process writes {self._path.name}") from error

    def _recover(self) -> Head:
        """The end of the chain as the file has it: where the head is, and what came after it."""
        size = os.fstat(self._file).st_size
        try:
            head = read_head(self._path)
            if head is None:
                if size:
                    raise ChainError(f"{self._head_path.name} is missing")
                head = Head()
                self._store(head)
            end = _last_line_of(self._file, head, size)
        except ChainError as error:
            raise ValueError(
                f"{self._path.name} was changed: {error}; keep it and its head, move both away, "
                "and the next start begins a new log"
            ) from error
        if end.size < size:
            logger.warning("cut off a torn line", extra={"bytes": size - end.size})
            os.ftruncate(self._file, end.size)
        if end != head:
            self._store(end)
        return end


def head_path(path: Path) -> Path:
    """Where the head of the log at `path` is kept."""
    return path.with_suffix(".head")


def read_head(path: Path) -> Head | None:
    """The head of the log at `path`, none where there is none; raises `ChainError`."""
    try:
        return Head.load(head_path(path).read_bytes())
    except FileNotFoundError:
        return None


def _last_line_of(file: int, head: Head, size: int) -> Head:
    if size < head.size:
        raise ChainError(f"lines are missing at its end, the head names {head.seq}")
    if head.seq:
        line = _line_before(file, head.size)
        if f'"hash":"{head.hash}"'.encode() not in line:
            raise ChainError(f"line {head.seq} is not the one that the head names")
    rest = os.pread(file, size - head.size, head.size)
    for line in rest.splitlines(keepends=True):
        if line.endswith(b"\n"):
            head = follow(line, head)
    return head


def _line_before(file: int, end: int) -> bytes:
    start = max(0, end - 2**20)
    return os.pread(file, end - start, start).rstrip(b"\n").rpartition(b"\n")[2]


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
