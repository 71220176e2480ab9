"""Parsing in a pool of processes: a document that hangs, crashes or eats memory fails alone."""

import time
from pathlib import Path

import orjson

from bulkhead.workers import Crashed, OutOfMemory, OutOfTime, WorkerPool
from parser.model import MIB, Ocr, ParseError, ParseLimits
from parser.parse import parse, version
from parser.plugins import Plugin, load


class ParserPool:
    """A pool of parser processes for one event loop. They start with the first document."""

    def __init__(
        self,
        limits: ParseLimits,
        ocr: Ocr | None = None,
        plugins: str = "",
        *,
        processes: int = 1,
        seconds: float = 60.0,
        memory_bytes: int = 1024 * MIB,
        max_tasks: int = 1000,
    ) -> None:
        """`plugins`: names of those that each process loads.

        `seconds`: for one document without OCR, its time in the queue not counted.

        `memory_bytes`: a process's address space. `max_tasks`: documents after which a process is
        replaced; it grew by nothing over 3,600, and a new one takes 0.1 s to start.
        """
        self._seconds = seconds
        self._memory = f"{memory_bytes // MIB:,} MiB of memory"
        self._workers = WorkerPool(
            _read,
            setup=_start_worker,
            told=(limits, ocr or Ocr(), plugins),
            max_workers=processes,
            seconds=seconds,
            memory_bytes=memory_bytes,
            max_tasks=max_tasks,
        )

    async def parse(self, path: Path, filename: str, media_type: str | None) -> bytes:
        """Parse the file at `path`: what it holds, as the JSON of a reply.

        Cancelling the caller kills the work. Raises ParseError (also `timeout`, `crashed`, and
        `too_large` for memory), OSError if the file cannot be read, and RuntimeError once the pool
        is closed.
        """
        try:
            return await self._workers.run(path, filename, media_type)
        except OutOfTime as error:
            raise ParseError(
                "timeout", f"The document took more than {self._seconds:g} s to read."
            ) from error
        except OutOfMemory as error:
            raise ParseError(
                "too_large", f"The document needs more than {self._memory} to read."
            ) from error
        except Crashed as error:
            raise ParseError(
                "crashed",
                "The document crashed its parser: it is damaged or needs more than"
                f" {self._memory}.",
            ) from error

    def close(self) -> None:
        """End every process at once."""
        self._workers.close()


# What follows runs in a worker.

_limits, _ocr = ParseLimits(), Ocr()
_plugins: tuple[Plugin, ...] = ()


def _start_worker(limits: ParseLimits, ocr: Ocr, plugins: str) -> None:
    global _limits, _ocr, _plugins
    _limits, _ocr, _plugins = limits, ocr, load(plugins)


def _read(path: Path, filename: str, media_type: str | None) -> bytes:
    started = time.perf_counter()
    _limits.check_bytes(path.stat().st_size)
    parsed = parse(path.read_bytes(), filename, media_type, _limits, _ocr, _plugins)
    seconds = time.perf_counter() - started
    return orjson.dumps({"parser": version(_ocr, _plugins), "seconds": seconds} | parsed.as_json())
