"""The parser pool on real hangs, crashes and memory bombs.

A named pipe that nobody writes to is the document that never ends; a sparse file of gigabytes is
the one that does not fit in memory.
"""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from parser.model import MIB, ParseError, ParseLimits
from parser.pool import ParserPool

NewPool = Callable[..., ParserPool]


@pytest.fixture
def new_pool() -> Iterator[NewPool]:
    pools: list[ParserPool] = []
    _others.update(children())

    def make(limits: ParseLimits | None = None, **settings: Any) -> ParserPool:
        pool = ParserPool(limits or ParseLimits(), **settings)
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "spooled"
    path.write_text("# Title\n\n" + "Some words in a sentence. " * 40, encoding="utf-8")
    return path


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    path = tmp_path / "endless"
    os.mkfifo(path)
    return path


_others: set[int] = set()
"""Workers that were there before this file's first test: of other files in the same run."""


def children() -> set[int]:
    named = (c for c in multiprocessing.active_children() if c.name == "pebble_pool_worker")
    return {child.pid for child in named if child.pid is not None}


def workers() -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in children() - _others]


async def reading(endless: Path) -> int:
    """The file descriptor on which a worker waits for the endless document."""
    while True:  # opening a pipe to write succeeds as soon as somebody reads
        try:
            return os.open(endless, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            await asyncio.sleep(0.01)


async def works(pool: ParserPool, document: Path) -> None:
    read = orjson.loads(await pool.parse(document, "dir/a.md", None))
    assert read["title"] == "Title"
    assert read["text"].startswith("# Title")
    assert read["headings"] == [[0, 1, "Title"]]


async def test_a_document_is_parsed_in_another_process(new_pool: NewPool, document: Path) -> None:
    await works(pool := new_pool(), document)
    assert len(workers()) == 1
    pool.close()
    assert workers() == []


async def test_a_refused_document_gives_its_parse_error(
    new_pool: NewPool, document: Path, tmp_path: Path
) -> None:
    pool = new_pool(limits=ParseLimits(max_bytes=2_000))
    (tmp_path / "big").write_bytes(bytes(3_000))
    for path, code in ((tmp_path / "big", "too_large"), (tmp_path / "empty", "empty")):
        path.touch()
        with pytest.raises(ParseError) as caught:
            await pool.parse(path, "a.txt", None)
        assert caught.value.code == code
    with pytest.raises(FileNotFoundError):
        await pool.parse(tmp_path / "absent", "a.txt", None)
    await works(pool, document)


async def test_a_hanging_document_is_killed_at_its_timeout_and_the_pool_works_on(
    new_pool: NewPool, document: Path, endless: Path
) -> None:
    pool = new_pool(seconds=1)
    await works(pool, document)
    (worker,) = workers()
    with pytest.raises(ParseError, match="more than 1 s") as caught:
        await pool.parse(endless, "a.txt", None)
    assert caught.value.code == "timeout"
    assert not worker.is_running()
    await works(pool, document)


async def test_native_code_that_never_returns_is_killed_too(
    new_pool: NewPool, document: Path, tmp_path: Path
) -> None:
    nested = tmp_path / "nested"
    # A minute in lexbor, whose time is quadratic in the depth: just below what is refused.
    nested.write_bytes((b"<div>" * 15_000 + b"</div>" * 15_000) * 200)
    pool = new_pool(seconds=1)
    await works(pool, document)
    with pytest.raises(ParseError, match="more than 1 s"):
        await pool.parse(nested, "a.html", None)
    await works(pool, document)


async def test_a_document_that_needs_too_much_memory_is_contained(
    new_pool: NewPool, document: Path, tmp_path: Path
) -> None:
    pool = new_pool(memory_bytes=700 * MIB, limits=ParseLimits(max_bytes=4096 * MIB))
    bomb = tmp_path / "bomb"
    with bomb.open("wb") as file:
        file.truncate(2048 * MIB)
    with pytest.raises(ParseError, match="700 MiB of memory") as caught:
        await pool.parse(bomb, "a.txt", None)
    assert caught.value.code == "too_large"
    await works(pool, document)


@pytest.mark.timeout(600)
async def test_native_code_that_runs_out_of_memory_is_contained(
    new_pool: NewPool, document: Path, tmp_path: Path
) -> None:
    pool = new_pool(memory_bytes=500 * MIB, seconds=500)
    bomb = tmp_path / "bomb"
    bomb.write_bytes(b"<i></i>x" * 6_000_000)
    with pytest.raises(ParseError, match="500 MiB of memory") as caught:
        await pool.parse(bomb, "a.html", None)
    assert caught.value.code in {"too_large", "crashed"}
    await works(pool, document)


async def test_a_crash_fails_its_document_only(
    new_pool: NewPool, document: Path, endless: Path
) -> None:
    pool = new_pool()
    lost = asyncio.create_task(pool.parse(endless, "a.txt", None))
    pipe = await reading(endless)
    (worker,) = workers()
    worker.send_signal(signal.SIGSEGV)
    with pytest.raises(ParseError, match="crashed its parser") as caught:
        await lost
    os.close(pipe)
    assert caught.value.code == "crashed"
    await works(pool, document)


async def test_a_worker_killed_while_idle_is_replaced(new_pool: NewPool, document: Path) -> None:
    pool = new_pool()
    for _ in range(2):
        await works(pool, document)
        (worker,) = workers()
        worker.kill()
        worker.wait(60)
    await asyncio.gather(*(works(pool, document) for _ in range(4)))


async def test_cancelling_the_caller_kills_the_work(
    new_pool: NewPool, document: Path, endless: Path
) -> None:
    pool = new_pool()
    task = asyncio.create_task(pool.parse(endless, "a.txt", None))
    pipe = await reading(endless)
    (worker,) = workers()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(worker.wait, 10)
    os.close(pipe)
    await works(pool, document)


async def test_closing_ends_workers_and_fails_documents_in_work_and_in_the_queue(
    new_pool: NewPool, endless: Path, document: Path
) -> None:
    pool = new_pool()
    tasks = [asyncio.create_task(pool.parse(endless, "a.txt", None)) for _ in range(3)]
    pipe = await reading(endless)
    await asyncio.to_thread(pool.close)
    assert workers() == []
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, RuntimeError)
    os.close(pipe)
    with pytest.raises(RuntimeError, match="closed"):
        await pool.parse(document, "a.txt", None)
    pool.close()


async def test_processes_start_and_end_beside_the_event_loop_and_not_on_it(
    new_pool: NewPool, document: Path, endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()

    def noted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            threads.add(threading.get_ident())
            return real(*given, **named)

        return call

    for owner, name in (
        (forkserver._forkserver, "ensure_running"),
        (forkserver._forkserver, "connect_to_new_process"),
        (os, "kill"),
        (os, "waitpid"),
    ):
        monkeypatch.setattr(owner, name, noted(getattr(owner, name)))
    pool = new_pool(seconds=1, processes=2)
    with pytest.raises(ParseError):
        await pool.parse(endless, "a.txt", None)
    await works(pool, document)
    assert threads and threading.get_ident() not in threads


async def test_workers_are_replaced_after_their_share_of_documents(
    new_pool: NewPool, document: Path
) -> None:
    pool = new_pool(max_tasks=2)
    seen: set[int] = set()
    for _ in range(5):
        await works(pool, document)
        seen.update(worker.pid for worker in workers())
    assert len(seen) >= 2


def test_workers_load_neither_the_web_framework_nor_the_model() -> None:
    code = (
        "import sys, parser.pool;"
        "print(*{'fastapi', 'starlette', 'uvicorn', 'opentelemetry', 'aiohttp'}"
        ".intersection(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
