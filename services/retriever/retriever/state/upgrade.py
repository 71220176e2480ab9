"""Takes over what the release with SQLite kept in a data folder: once, in one transaction.

The chunks stay where they are, in Qdrant. What is taken over stays in the folder too.
"""

import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from retriever.database import Database
from retriever.keys import changed
from retriever.state import schema

_ROWS = 200
_BLOCK = 1 << 20
_MARK = "\N{REPLACEMENT CHARACTER}"
_STORE_VERSIONS, _KEYS_VERSIONS = (2, 3), (1,)

Row = dict[str, Any]


async def take_over(database: Database, folder: Path, collection: str) -> str:
    """Take the folder's stores over, and say what there was; nothing where it was done before.

    Raises `ValueError` where there is no store of that release, and `OSError`.
    """
    with tempfile.TemporaryDirectory() as copies:
        # Copies: to read a store, SQLite would write its log into the folder.
        store = _copy(folder / f"{collection}.sqlite3", Path(copies))
        keys = _copy(folder / "keys.sqlite3", Path(copies))
        if store is None and keys is None:
            raise ValueError(f"{folder} has neither {collection}.sqlite3 nor keys.sqlite3")
        await database.claim(collection)
        counts: dict[str, int] = {}
        async with database.transaction() as connection:
            if not await _first(connection, [one for one in (store, keys) if one]):
                return "it was taken over before; nothing is changed"
            if store is not None:
                with closing(_opened(store, _STORE_VERSIONS)) as opened:
                    await _take_store(connection, opened, folder / "spool", counts)
            if keys is not None:
                with closing(_opened(keys, _KEYS_VERSIONS)) as opened:
                    await _take_keys(connection, opened, counts)
    return "taken over: " + ", ".join(f"{n} {name}" for name, n in counts.items())


def _copy(path: Path, to: Path) -> Path | None:
    if not path.is_file():
        return None
    for one in (path, path.with_name(f"{path.name}-wal")):
        if one.is_file():
            shutil.copyfile(one, to / one.name)
    return to / path.name


def _opened(path: Path, versions: Sequence[int]) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise ValueError(f"{path.name} is no store: {error}") from error
    if version not in versions:
        raise ValueError(f"{path.name} has schema version {version}; known are {versions}")
    return connection


async def _first(connection: AsyncConnection, stores: Sequence[Path]) -> bool:
    digest = hashlib.sha256()
    for path in stores:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    made = insert(schema.imports).values(id=digest.hexdigest()).on_conflict_do_nothing()
    return (await connection.execute(made.returning(schema.imports.c.id))).first() is not None


async def _take_store(
    connection: AsyncConnection, store: sqlite3.Connection, spool: Path, counts: dict[str, int]
) -> None:
    documents = (_document(row) for row in _rows(store, "SELECT * FROM documents"))
    counts["documents"] = await _put(connection, schema.documents, documents)
    jobs = (_job(row) for row in _rows(store, "SELECT * FROM jobs ORDER BY created_at, id"))
    counts["jobs"] = await _put(connection, schema.jobs, jobs)
    in_order = (
        "SELECT job_items.*, jobs.tenant FROM job_items JOIN jobs ON jobs.id = job_items.job_id"
        " ORDER BY jobs.created_at, jobs.id, n"
    )
    await _put(connection, schema.job_items, (_item(row) for row in _rows(store, in_order)))
    left = "SELECT spool FROM job_items WHERE outcome IS NULL"
    waiting = [row["spool"] for row in _rows(store, left)]
    counts["waiting uploads"] = len(waiting)
    for name in waiting:
        await _take_upload(connection, spool, name)
    answers = (_times(row) for row in _rows(store, "SELECT * FROM answers"))
    counts["answers"] = await _put(connection, schema.answers, answers)
    votes = (_times(_text(row)) for row in _rows(store, "SELECT * FROM feedback"))
    counts["votes"] = await _put(connection, schema.feedback, votes)


async def _take_keys(
    connection: AsyncConnection, store: sqlite3.Connection, counts: dict[str, int]
) -> None:
    revision = await changed(connection)
    rows = (
        _times(
            _text(row)
            | {
                "groups": json.loads(row["groups"]),
                "limits": json.loads(row["limits"]),
                "revision": revision,
            }
        )
        for row in _rows(store, "SELECT * FROM keys")
    )
    counts["keys"] = await _put(connection, schema.keys, rows)


async def _take_upload(connection: AsyncConnection, spool: Path, name: str) -> None:
    """The bytes of an upload: a file, or as `FILE.START.SIZE` a part of one."""
    file, *numbers = name.split(".")
    data = (spool / file).read_bytes()
    if numbers:
        start, size = map(int, numbers)
        data = data[start : start + size]
    await _put(connection, schema.uploads, iter([{"id": name}]))
    blocks = (
        {"upload": name, "n": n, "data": data[start : start + _BLOCK]}
        for n, start in enumerate(range(0, max(1, len(data)), _BLOCK))
    )
    await _put(connection, schema.upload_blocks, blocks)


async def _put(connection: AsyncConnection, table: Table, rows: Iterator[Row]) -> int:
    count = 0
    while some := list(islice(rows, _ROWS)):
        await connection.execute(insert(table).on_conflict_do_nothing(), some)
        count += len(some)
    return count


def _rows(store: sqlite3.Connection, statement: str) -> Iterator[Row]:
    for row in store.execute(statement):
        yield dict(row)


def _document(row: Row) -> Row:
    given = {name: row[name] for name in ("digest", "parser") if name in row}
    return _times(
        _text({name: row[name] for name in ("id", "tenant", "source", "state", "title")})
        | {name: row[name] for name in ("media_type", "chunks", "characters", "text", "created_at")}
        | given
        | {
            "groups": json.loads(row["groups"]),
            "metadata": _json(row["metadata"]),
            "pages": json.loads(row["pages"]),
            "file_metadata": _json(row.get("file_metadata", "{}")),
            "warnings": _json(row.get("warnings", "[]")),
        }
    )


def _job(row: Row) -> Row:
    return _times(row | {"key_groups": json.loads(row["key_groups"])})


def _item(row: Row) -> Row:
    warnings = _json(row.get("warnings", "[]"))
    return _times(
        _text({name: value for name, value in row.items() if name != "spool"})
        | {
            "upload": row["spool"],
            "groups": json.loads(row["groups"]),
            "metadata": _json(row["metadata"]),
            "warnings": warnings,
            "warned": int(bool(warnings)),
            "replaced": _json(row.get("replaced", "[]")),
        }
    )


def _json(kept: str) -> Any:
    return json.loads(kept, parse_constant=str)  # NaN becomes its name


def _text(row: Row) -> Row:
    """Short texts as PostgreSQL keeps them: without a NUL."""
    return {
        name: value.replace("\0", _MARK) if isinstance(value, str) else value
        for name, value in row.items()
    }


def _times(row: Row) -> Row:
    return {
        name: datetime.fromisoformat(value) if name.endswith("_at") and value else value
        for name, value in row.items()
    }
