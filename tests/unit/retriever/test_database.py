"""The document store's file: made whole, or not at all."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from retriever import database
from retriever.database import Database


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
