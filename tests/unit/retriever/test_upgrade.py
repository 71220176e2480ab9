"""What the release with SQLite kept is taken over whole, once, by one command."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL
from state import rows, told

from bulkhead.auth import Principal, Role, key_digest
from bulkhead.errors import Unauthenticated
from retriever.database import Database
from retriever.feedback import Feedback
from retriever.index.documents import Documents
from retriever.ingest.items import EXTRACTED
from retriever.ingest.jobs import Jobs
from retriever.ingest.uploads import Uploads
from retriever.ingest.work import Work
from retriever.keys import OPERATOR, Keys
from retriever.limits import Limits

ANN = Principal("ann", "acme", frozenset({"red"}), Role.WRITER)
LIMITS = Limits(requests_per_minute=1, tokens_per_minute=2, documents_per_minute=3)
AT = "2026-11-01T10:00:00.000001+00:00"

STORE = """
CREATE TABLE documents (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, source TEXT NOT NULL,
 state TEXT NOT NULL, title TEXT NOT NULL, media_type TEXT NOT NULL, groups TEXT NOT NULL,
 metadata TEXT NOT NULL, pages TEXT NOT NULL, chunks INTEGER NOT NULL,
 characters INTEGER NOT NULL, text TEXT NOT NULL, created_at TEXT NOT NULL,
 digest TEXT NOT NULL DEFAULT '', parser TEXT, file_metadata TEXT NOT NULL DEFAULT '{}',
 warnings TEXT NOT NULL DEFAULT '[]');
CREATE TABLE jobs (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, key_id TEXT NOT NULL,
 role TEXT NOT NULL, key_groups TEXT NOT NULL, state TEXT NOT NULL,
 revision INTEGER NOT NULL DEFAULT 1, idempotency_key TEXT, fingerprint TEXT NOT NULL,
 created_at TEXT NOT NULL, started_at TEXT, updated_at TEXT NOT NULL);
CREATE TABLE job_items (job_id TEXT NOT NULL, n INTEGER NOT NULL, source TEXT NOT NULL, title TEXT,
 media_type TEXT, groups TEXT NOT NULL, metadata TEXT NOT NULL, spool TEXT NOT NULL,
 digest TEXT NOT NULL, outcome TEXT, document_id TEXT, chunks INTEGER NOT NULL DEFAULT 0,
 message TEXT, finished_at TEXT, warnings TEXT NOT NULL DEFAULT '[]',
 replaced TEXT NOT NULL DEFAULT '[]', PRIMARY KEY (job_id, n));
CREATE TABLE answers (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, key_id TEXT NOT NULL,
 created_at TEXT NOT NULL);
CREATE TABLE feedback (answer_id TEXT NOT NULL, key_id TEXT NOT NULL, vote TEXT NOT NULL,
 comment TEXT NOT NULL, created_at TEXT NOT NULL, PRIMARY KEY (answer_id, key_id));
PRAGMA user_version = 3;
"""
KEYS = """
CREATE TABLE keys (id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL,
 groups TEXT NOT NULL, role TEXT NOT NULL, name TEXT NOT NULL, limits TEXT NOT NULL,
 created_by TEXT NOT NULL, created_at TEXT NOT NULL, rotated_at TEXT, revoked_at TEXT);
PRAGMA user_version = 1;
"""


@contextmanager
def store(path: Path, schema: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema)
        yield connection
        connection.commit()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder of that release: 500 documents, a job half done, keys."""
    (tmp_path / "spool").mkdir()
    with store(tmp_path / "chunks.sqlite3", STORE) as old:
        old.executemany(
            "INSERT INTO documents VALUES (?, 'acme', ?, ?, ?, 'text/plain', ?, ?, ?, 1, ?, ?, ?,"
            " 'digest', NULL, '{}', ?)",
            [
                (
                    f"d{n}",
                    f"s{n}",
                    "deleting" if n == 499 else "live",
                    f"Title {n}",
                    json.dumps(["red"] if n % 2 else []),
                    '{"n": NaN}' if n == 7 else json.dumps({"n": n}),
                    "[0, 3]",
                    len(f"Text {n}"),
                    "Te\0t 8" if n == 8 else f"Text {n}",
                    f"2026-11-01T10:00:00.{n:06d}+00:00",
                    json.dumps([["code", "words", [1]]] if n == 9 else []),
                )
                for n in range(500)
            ],
        )
        job = ("j1", "acme", "ann", "writer", '["red"]', "running", 5, "idem", "[]", AT, AT, AT)
        old.execute(f"INSERT INTO jobs VALUES ({', '.join('?' * 12)})", job)
        parts = [b"first text", b"second text"]
        (tmp_path / "spool" / "aa").write_bytes(b"\n".join(parts))
        (tmp_path / "spool" / "bb").write_bytes(b"a file")
        waiting = [("aa.0.10", parts[0]), ("aa.11.11", parts[1]), ("bb", b"a file")]
        done = ("j1", 0, "s1", None, None, "[]", "{}", "gone", "x", "added", "d1", 1, None, AT)
        old.execute(
            "INSERT INTO job_items VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,'[]','[]')",
            done,
        )
        for n, (spool, data) in enumerate(waiting, 1):
            digest = hashlib.sha256(data).hexdigest()
            one = ("j1", n, f"w{n}", None, EXTRACTED, "[]", "{}", spool, digest)
            old.execute(
                "INSERT INTO job_items (job_id, n, source, title, media_type, groups, metadata,"
                " spool, digest) VALUES (?,?,?,?,?,?,?,?,?)",
                one,
            )
        old.execute("INSERT INTO answers VALUES ('a1', 'acme', 'ann', ?)", [AT])
        old.execute("INSERT INTO feedback VALUES ('a1', 'ann', 'up', 'good', ?)", [AT])
    with store(tmp_path / "keys.sqlite3", KEYS) as old:
        for name, revoked in (("alive", None), ("dead", AT)):
            digest = key_digest(f"bh_{name}")
            old.execute(
                "INSERT INTO keys VALUES (?, ?, 'acme', '[\"red\"]', 'reader', ?, ?, 'admin', ?,"
                " NULL, ?)",
                (f"key_{name}", digest, name, LIMITS.model_dump_json(), AT, revoked),
            )
    return tmp_path


def run(folder: Path, url: URL, **more: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "RETRIEVER_DATABASE_URL": told(url), **more}
    return subprocess.run(
        [sys.executable, "-m", "retriever", "import", str(folder)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def everything(url: URL) -> list[list[tuple[object, ...]]]:
    tables = ("documents", "jobs", "job_items", "answers", "feedback", "keys", "upload_blocks")
    return [rows(told(url), f"SELECT * FROM {one} ORDER BY 1, 2") for one in tables]


async def test_a_folder_with_500_documents_is_taken_over_and_a_second_time_changes_nothing(
    folder: Path, state_url: URL
) -> None:
    before = contents(folder)
    first = run(folder, state_url)
    assert first.returncode == 0, first.stderr
    assert first.stdout == (
        "taken over: 500 documents, 1 jobs, 3 waiting uploads, 1 answers, 1 votes, 2 keys\n"
    )
    kept = everything(state_url)
    again = run(folder, state_url)
    assert again.stdout == "it was taken over before; nothing is changed\n"
    assert everything(state_url) == kept
    assert contents(folder) == before

    async with Database.open(state_url) as database:
        documents, jobs, keys = Documents(database), Jobs(database), Keys(database, "bh_o", LIMITS)
        found, _ = await documents.page(ANN, 1000, None)
        assert [one.id for one in found] == [f"d{n}" for n in range(499)]
        seven, eight, nine = found[7:10]
        assert (seven.metadata, seven.groups, seven.pages) == ({"n": "NaN"}, ("red",), 2)
        assert await documents.text(ANN, eight.id) == "Te\0t 8"
        assert nine.warnings[0].code == "code"
        assert found[3].created_at == "2026-11-01T10:00:00.000003+00:00"
        assert await documents.unfinished() == ["d499"]  # its points go with the first sweep
        job = await jobs.get(ANN, "j1")
        assert job is not None and (job.counts["added"], job.counts["pending"]) == (1, 3)
        work, uploads = Work(database), Uploads(database, 2**20)
        taken = await work.take(9, 9, {})
        assert [one.new.source for one in taken] == ["w1", "w2", "w3"]
        data = [await uploads.read(one.new.upload) for one in taken]
        assert data == [b"first text", b"second text", b"a file"]
        for one, content in zip(taken, data, strict=True):
            assert content is not None
            assert hashlib.sha256(content).hexdigest() == one.new.digest
        await keys.refresh()
        assert keys.principal("bh_alive").key_id == "key_alive"
        assert keys.limits(keys.principal("bh_alive")) == LIMITS
        with pytest.raises(Unauthenticated):
            keys.principal("bh_dead")
        assert len((await keys.page(OPERATOR, 10, None))[0]) == 2
        await Feedback(database).vote(ANN, "a1", "down", "")
        # What is deleted afterwards does not come back.
        async with documents.locked([("acme", "s0")]) as held:
            assert await documents.hide(held, ANN, "d0")
        await documents.forget(["d0"])
    assert "before" in run(folder, state_url).stdout
    async with Database.open(state_url) as database:
        assert await Documents(database).get(ANN, "d0") is None


def test_a_folder_that_cannot_be_taken_over_is_refused_in_words_and_leaves_nothing(
    folder: Path, state_url: URL, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = tmp_path_factory.mktemp("empty")
    assert "has neither" in run(empty, state_url).stderr
    (folder / "spool" / "bb").unlink()  # an upload is gone
    broken = run(folder, state_url)
    assert broken.returncode == 1 and broken.stderr.count("\n") == 1, broken.stderr
    with closing(sqlite3.connect(folder / "keys.sqlite3")) as later:
        later.execute("PRAGMA user_version = 99")
    (folder / "spool" / "bb").write_bytes(b"a file")
    assert "keys.sqlite3 has schema version 99" in run(folder, state_url).stderr
    assert all(not table for table in everything(state_url))
