"""The audit log on disk: what a crash, a full disk, a second process and an intruder do to it."""

import asyncio
import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from steps import calls

from bulkhead import audit
from bulkhead.audit import AuditLog, head_path, read_head
from bulkhead.chain import Head, verify
from bulkhead.errors import Unavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def write(path: Path, *numbers: int) -> None:
    async def run() -> None:
        log = AuditLog(path)
        async with log.writing():
            for number in numbers:
                log.append({"n": number})

    asyncio.run(run())


def checked(path: Path) -> int:
    """How many lines there are, all of them good and named by the head."""
    head = read_head(path)
    assert head is not None
    with path.open("rb") as lines:
        verified = verify(lines, head)
    assert (verified.beyond_head, verified.torn_bytes) == (0, 0)
    return verified.head.seq


def test_lines_follow_each_other_over_restarts(path: Path) -> None:
    for n in range(3):
        write(path, n, n)
    assert checked(path) == 6
    assert path.stat().st_mode & 0o077 == 0
    assert head_path(path).stat().st_mode & 0o077 == 0


async def test_a_flushed_line_is_in_the_file_and_named_by_the_head(path: Path) -> None:
    log = AuditLog(path)
    async with log.writing():
        log.append({"n": 1})
        await log.flush()
        assert checked(path) == 1


async def test_what_is_still_queued_at_the_end_is_written(path: Path) -> None:
    log = AuditLog(path)
    async with log.writing():
        for n in range(1000):
            log.append({"n": n})
    assert checked(path) == 1000


def test_a_crash_between_the_lines_and_the_head_loses_nothing(path: Path) -> None:
    write(path, 1)
    behind = head_path(path).read_bytes()
    write(path, 2, 3)
    head_path(path).write_bytes(behind)
    write(path, 4)
    assert checked(path) == 4


def test_a_torn_last_line_is_cut_off(path: Path) -> None:
    write(path, 1, 2)
    with path.open("ab") as file:
        file.write(b'{"seq":3,"n"')
    write(path, 3)
    assert checked(path) == 3


@pytest.mark.parametrize("cut", ["last line", "everything", "the file", "the head", "a byte"])
def test_a_log_that_was_changed_is_not_written_on(path: Path, cut: str) -> None:
    write(path, 1, 2, 3)
    whole = path.read_bytes()
    if cut == "last line":
        path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    elif cut == "everything":
        path.write_bytes(b"")
    elif cut == "the file":
        path.unlink()
    elif cut == "the head":
        head_path(path).unlink()
    else:
        head_path(path).write_bytes(Head(3, "0" * 64, len(whole)).dump())
    with pytest.raises(ValueError, match="was changed"):
        AuditLog(path)


def test_a_second_process_cannot_write_the_same_log(path: Path) -> None:
    log = AuditLog(path)
    try:
        code = (
            "import sys; from pathlib import Path; from bulkhead.audit import AuditLog\n"
            "try: AuditLog(Path(sys.argv[1]))\n"
            "except RuntimeError as error: print(error)"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60
        )
        assert other.stdout == "another process writes audit.jsonl\n"
    finally:
        log.close()
    write(path, 1)  # given up, it can be opened again


async def test_a_full_disk_refuses_changes_says_so_and_loses_no_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_RETRY_SECONDS", 0.01)
    real, full = os.write, True

    def half_then_full(file: int, data: bytes) -> int:
        if not full:
            return real(file, data)
        if len(data) > 20:
            return real(file, bytes(data[:20]))
        raise OSError(errno.ENOSPC, "No space left on device")

    log = AuditLog(path)
    async with log.writing():
        monkeypatch.setattr(os, "write", half_then_full)
        log.append({"n": 1})
        await log.flush()  # comes back, with the failure known
        assert log.failure == "No space left on device"
        log.require(change=False)
        with pytest.raises(Unavailable) as refused:
            log.require(change=True)
        assert refused.value.part == "audit"
        monkeypatch.setattr(audit, "MOST_WAITING", 3)
        log.append({"n": 2})
        log.append({"n": 3})
        with pytest.raises(Unavailable):
            log.require(change=False)
        full = False
        async with asyncio.timeout(60):
            while log.failure:
                await log.flush()
                await asyncio.sleep(0.01)
        log.require(change=True)
        await log.flush()
        assert checked(path) == 3
    assert checked(path) == 3


async def test_a_line_costs_the_event_loop_the_same_however_many_wait_and_no_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(path)
    line = {"action": "search", "documents": ["0" * 32] * 10, "key_id": "key_" + "0" * 32}
    loop, real, writers = threading.get_ident(), os.write, set()

    def noted(file: int, data: bytes) -> int:
        writers.add(threading.get_ident())
        return real(file, data)

    monkeypatch.setattr(os, "write", noted)
    async with log.writing():
        log.append({**line, "n": 0})
        first = calls(lambda: log.append({**line, "n": 1}))
        for n in range(2000):
            log.append({**line, "n": n + 2})
        assert calls(lambda: log.append({**line, "n": 2002})) == first
        await log.flush()
    assert writers and loop not in writers


def test_of_several_processes_each_has_a_log_and_who_comes_back_goes_on_with_one(
    tmp_path: Path,
) -> None:
    first, second, third = (AuditLog.of_folder(tmp_path, name) for name in ("a", "b", "c"))

    async def run(log: AuditLog) -> None:
        async with log.writing():
            log.append({"n": 1})

    asyncio.run(run(second))  # it ends, and with it its log
    again = AuditLog.of_folder(tmp_path, "d")
    for log in (first, again, third):
        asyncio.run(run(log))
    logs = {path.name: path for path in tmp_path.glob("*.jsonl")}
    assert logs.keys() == {"audit.jsonl", "audit-2.jsonl", "audit-3.jsonl"}
    assert [checked(logs[name]) for name in sorted(logs)] == [2, 1, 1]
    written = [json.loads(line)["instance"] for line in logs["audit-2.jsonl"].open()]
    assert written == ["b", "d"]
