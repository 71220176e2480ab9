"""The documents in SQLite: their text, whose they are, and whether they are live."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bulkhead.auth import Principal
from bulkhead.errors import InvalidValue
from retriever.database import Database
from retriever.index.access import visible_documents
from retriever.index.model import Document, NewDocument

_COLUMNS = "id, source, title, media_type, groups, metadata, pages, chunks, characters, created_at"


class Documents:
    """Rows of `documents`. Reads take a principal and see only what is live and theirs.

    The SQL that is put together here holds nothing but conditions of `access` and question marks.

    A row is `pending` while its points are written, `live` once they all are, `deleting` until
    they are gone. Search asks `live` for every hit, so a change shows at one commit.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, principal: Principal, document_id: str) -> Document | None:
        """The document, or none when it is not there for this principal."""
        condition, parameters = visible_documents(principal)
        row = await self._database.row(
            f"SELECT {_COLUMNS} FROM documents WHERE {condition} AND id = ?",  # noqa: S608
            [*parameters, document_id],
        )
        return _document(row) if row else None

    async def text(self, principal: Principal, document_id: str) -> str | None:
        """The extracted text, or none when it is not there for this principal."""
        condition, parameters = visible_documents(principal)
        row = await self._database.row(
            f"SELECT text FROM documents WHERE {condition} AND id = ?",  # noqa: S608
            [*parameters, document_id],
        )
        return str(row["text"]) if row else None

    async def page(
        self, principal: Principal, limit: int, cursor: str | None
    ) -> tuple[list[Document], str | None]:
        """Up to `limit` documents, oldest first, after `cursor`; and the next cursor, if any."""
        condition, parameters = visible_documents(principal)
        if cursor:
            created_at, _, document_id = cursor.rpartition("~")
            if not created_at:
                raise InvalidValue("cursor: use next_cursor of the page before, unchanged")
            condition += " AND (created_at, id) > (?, ?)"
            parameters += [created_at, document_id]
        rows = await self._database.rows(
            f"SELECT {_COLUMNS} FROM documents WHERE {condition}"  # noqa: S608
            " ORDER BY created_at, id LIMIT ?",
            [*parameters, limit + 1],
        )
        documents = [_document(row) for row in rows[:limit]]
        more = len(rows) > limit
        return documents, f"{documents[-1].created_at}~{documents[-1].id}" if more else None

    async def live(self, principal: Principal, document_ids: Sequence[str]) -> set[str]:
        """Which of these ids are live documents that the principal may see."""
        condition, parameters = visible_documents(principal)
        marks = ", ".join("?" * len(document_ids))
        rows = await self._database.rows(
            f"SELECT id FROM documents WHERE {condition} AND id IN ({marks})",  # noqa: S608
            [*parameters, *document_ids],
        )
        return {row["id"] for row in rows}

    async def begin(self, principal: Principal, document: NewDocument) -> None:
        """Note the document as `pending`, before any of its points is written."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT OR REPLACE INTO documents (id, tenant, source, state, title, media_type,"
                " groups, metadata, pages, chunks, characters, text, created_at)"
                " VALUES (?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    document.id,
                    principal.tenant,
                    document.source,
                    document.title,
                    document.media_type,
                    json.dumps(document.groups),
                    json.dumps(document.metadata),
                    json.dumps(document.pages),
                    len(document.chunks),
                    len(document.text),
                    document.text,
                    datetime.now(UTC).isoformat(timespec="microseconds"),
                ),
            )

    async def publish(self, principal: Principal, document: NewDocument) -> list[str]:
        """Make the document live in place of those with its source; the ids that it replaced."""
        async with self._database.transaction() as connection:
            rows = await connection.execute_fetchall(
                "UPDATE documents SET state = 'deleting'"
                " WHERE tenant = ? AND source = ? AND state = 'live' RETURNING id",
                (principal.tenant, document.source),
            )
            await connection.execute(
                "UPDATE documents SET state = 'live' WHERE id = ?", (document.id,)
            )
        return [row["id"] for row in rows]

    async def hide(self, principal: Principal, document_id: str) -> bool:
        """Take a live document out of every read; false when it is not there."""
        condition, parameters = visible_documents(principal)
        async with self._database.transaction() as connection:
            rows = list(
                await connection.execute_fetchall(
                    f"UPDATE documents SET state = 'deleting' WHERE {condition}"  # noqa: S608
                    " AND id = ? RETURNING id",
                    [*parameters, document_id],
                )
            )
        return bool(rows)

    async def unfinished(self) -> list[str]:
        """Ids whose points must go: left `pending` or `deleting` by a process that died."""
        rows = await self._database.rows("SELECT id FROM documents WHERE state != 'live'")
        return [row["id"] for row in rows]

    async def forget(self, document_ids: Sequence[str]) -> None:
        """Remove the rows of documents whose points are gone."""
        async with self._database.transaction() as connection:
            await connection.executemany(
                "DELETE FROM documents WHERE id = ? AND state != 'live'",
                [(document_id,) for document_id in document_ids],
            )


def _document(row: Any) -> Document:
    return Document(
        id=row["id"],
        source=row["source"],
        title=row["title"],
        media_type=row["media_type"],
        groups=tuple(json.loads(row["groups"])),
        metadata=json.loads(row["metadata"]),
        pages=len(json.loads(row["pages"])) or None,
        chunks=row["chunks"],
        characters=row["characters"],
        created_at=row["created_at"],
    )
