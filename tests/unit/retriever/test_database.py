"""The document store's file: made whole, or not at all."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bulkhead.auth import Principal, Role
from bulkhead.errors import Unavailable
from retriever import database
from retriever.database import Database
from retriever.feedback import Feedback

READER = Principal("k1", "acme", frozenset(), Role.READER)


async def test_a_first_start_that_is_cut_off_leaves_nothing_for_the_next_to_fall_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "db.sqlite3"
    with monkeypatch.context() as dying:
        dying.setattr(database, "_SCHEMA", f"{database._SCHEMA} SELECT no_such_function();")
        with pytest.raises(sqlite3.OperationalError):
            async with Database.open(path):
                pass
    async with Database.open(path) as opened:
        assert await opened.rows("SELECT * FROM documents") == []
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()
    assert version == (database.SCHEMA_VERSION,)


async def test_a_file_that_another_process_holds_is_the_storage_s_fault_and_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / "db.sqlite3"
    async with Database.open(path) as opened:
        await opened._writer.execute("PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable) as refused:
                await opened.probe()
            assert refused.value.part == "storage"
            assert opened.refusal == "the document store cannot write (database is locked)"
            # An answer is given all the same, and cannot be voted on.
            await Feedback(opened).note_answer(READER, "a1")
        await opened.probe()
        assert opened.refusal is None
        await Feedback(opened).note_answer(READER, "a2")
        assert [row["id"] for row in await opened.rows("SELECT id FROM answers")] == ["a2"]
