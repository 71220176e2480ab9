"""The document store's file: made whole, or not at all."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from telemetry import Recorded

from bulkhead.auth import Principal, Role
from bulkhead.errors import Unavailable
from retriever import database
from retriever.database import Database
from retriever.feedback import Feedback
from retriever.index.documents import Documents

READER = Principal("k1", "acme", frozenset(), Role.READER)


async def test_a_first_start_that_is_cut_off_leaves_nothing_for_the_next_to_fall_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "db.sqlite3"
    with monkeypatch.context() as dying:
        dying.setitem(database._STEPS, 0, f"{database._SCHEMA} SELECT no_such_function();")
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
    recorded = Recorded()
    async with Database.open(path) as opened:
        await opened._writer.execute("PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable) as refused:
                await opened.probe()
            assert refused.value.part == "storage"
            assert opened.refusal == "the document store cannot write (database is locked)"
            assert recorded.total("rag.index.refuses", db_system_name="sqlite") == 1
            # An answer is given all the same, and cannot be voted on.
            await Feedback(opened).note_answer(READER, "a1")
        await opened.probe()
        assert opened.refusal is None
        assert recorded.total("rag.index.refuses", db_system_name="sqlite") == 0
        await Feedback(opened).note_answer(READER, "a2")
        assert [row["id"] for row in await opened.rows("SELECT id FROM answers")] == ["a2"]


OF_VERSION_2 = """
CREATE TABLE documents (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, source TEXT NOT NULL,
 state TEXT NOT NULL, title TEXT NOT NULL, media_type TEXT NOT NULL, groups TEXT NOT NULL,
 metadata TEXT NOT NULL, pages TEXT NOT NULL, chunks INTEGER NOT NULL, characters INTEGER NOT NULL,
 text TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE job_items (job_id TEXT NOT NULL, n INTEGER NOT NULL, source TEXT NOT NULL, title TEXT,
 media_type TEXT, groups TEXT NOT NULL, metadata TEXT NOT NULL, spool TEXT NOT NULL,
 digest TEXT NOT NULL, outcome TEXT, document_id TEXT, chunks INTEGER NOT NULL DEFAULT 0,
 message TEXT, finished_at TEXT, PRIMARY KEY (job_id, n));
INSERT INTO documents VALUES ('d', 'acme', 'a.pdf', 'live', 'A', 'application/pdf', '[]', '{}',
 '[0]', 1, 5, 'words', '2026-01-01T00:00:00+00:00');
PRAGMA user_version = 2;
"""


async def test_documents_of_the_release_before_stay_readable(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(OF_VERSION_2)
    reader = Principal("r", "acme", frozenset(), Role.READER)
    for _ in range(2):
        async with Database.open(path) as opened:
            documents = Documents(opened)
            assert await documents.text(reader, "d") == "words"
            found = await documents.get(reader, "d")
            assert found is not None
            assert (found.title, found.pages, found.parser, found.sha256) == ("A", 1, None, None)
            assert (found.warnings, found.file_metadata) == ((), {})


async def test_a_store_of_a_release_that_is_not_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(ValueError, match="schema version 999"):
        async with Database.open(path):
            pass
