"""The documents in SQLite: their text, whose they are, and whether they are live.

The SQL that is put together here holds nothing but conditions of `access` and question marks.
"""

import json
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import aiosqlite

from bulkhead.auth import Principal
from bulkhead.errors import InvalidValue
from retriever.database import Database
from retriever.index.access import visible_documents
from retriever.index.filters import FILE_METADATA, Filters, matches
from retriever.index.model import Addition, Change, Document, Former, Outcome
from retriever.parsed import Warned

Confirm = Callable[[aiosqlite.Connection, Mapping[str, Change]], Awaitable[Collection[str]]]
"""Told of changes, by the document's id, before they are committed, to note them in the same
transaction; gives the ids of those that are to be made, and calls the others off."""

_LOOK, _MOST_LOOKS = 1000, 10
"""Documents that are looked at in one go for those that meet a filter, and how often in a page."""
_HALF = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair: no JSON can be made of it."""
_COLUMNS = (
    "id, source, title, media_type, groups, metadata, pages, chunks, characters, created_at,"
    " digest, parser, file_metadata, warnings"
)


class Documents:
    """Rows of `documents`. Reads take a principal and see only what is live and theirs.

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

    async def is_alone(self, principal: Principal, document: Document) -> bool:
        """Whether the principal sees no other document with this one's source."""
        condition, parameters = visible_documents(principal)
        row = await self._database.row(
            f"SELECT 1 FROM documents WHERE {condition} AND source = ? AND id != ?",  # noqa: S608
            [*parameters, document.source, document.id],
        )
        return row is None

    async def text(self, principal: Principal, document_id: str) -> str | None:
        """The extracted text, or none when it is not there for this principal."""
        condition, parameters = visible_documents(principal)
        row = await self._database.row(
            f"SELECT text FROM documents WHERE {condition} AND id = ?",  # noqa: S608
            [*parameters, document_id],
        )
        return str(row["text"]) if row else None

    async def page(
        self,
        principal: Principal,
        limit: int,
        cursor: str | None,
        filters: Filters = (),
        sources: Sequence[str] = (),
    ) -> tuple[list[Document], str | None]:
        """Up to `limit` documents, oldest first, after `cursor`; and the next cursor, if any.

        With `sources`, of these alone. With `filters` only so many of those after `cursor` are
        looked at that a page of `limit` may not be full.
        """
        found: list[Document] = []
        for _ in range(_MOST_LOOKS if filters else 1):
            looked, cursor = await self._slice(
                principal, max(limit, _LOOK) if filters else limit, cursor, sources
            )
            for n, document in enumerate(looked):
                if not matches(filters, _fields(document)):
                    continue
                found.append(document)
                if len(found) == limit:
                    more = n + 1 < len(looked) or cursor
                    return found, _cursor(document) if more else None
            if cursor is None:
                break
        return found, cursor

    async def _slice(
        self, principal: Principal, limit: int, cursor: str | None, sources: Sequence[str]
    ) -> tuple[list[Document], str | None]:
        condition, parameters = visible_documents(principal)
        if sources:
            condition += f" AND source IN ({', '.join('?' * len(sources))})"
            parameters += sources
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
        return documents, _cursor(documents[-1]) if len(rows) > limit else None

    async def live(self, principal: Principal, document_ids: Sequence[str]) -> set[str]:
        """Which of these ids are live documents that the principal may see."""
        condition, parameters = visible_documents(principal)
        marks = ", ".join("?" * len(document_ids))
        rows = await self._database.rows(
            f"SELECT id FROM documents WHERE {condition} AND id IN ({marks})",  # noqa: S608
            [*parameters, *document_ids],
        )
        return _ids(rows)

    async def chunks(self, principal: Principal) -> int:
        """How many chunks the live documents have that the principal may see."""
        condition, parameters = visible_documents(principal)
        row = await self._database.row(
            f"SELECT sum(chunks) AS chunks FROM documents WHERE {condition}",  # noqa: S608
            parameters,
        )
        return int(row["chunks"] or 0) if row else 0

    async def known(self, additions: Sequence[Addition]) -> set[str]:
        """Which of these are live as they are; whoever may share such a document may see it."""
        return _ids(await self._database.rows(*_live(additions)))

    async def begin(self, additions: Sequence[Addition]) -> None:
        """Note the documents as `pending`, before any of their points is written."""
        async with self._database.transaction() as connection:
            await connection.executemany(
                "INSERT OR REPLACE INTO documents (id, tenant, source, state, title, media_type,"
                " groups, metadata, pages, chunks, characters, text, created_at,"
                " digest, parser, file_metadata, warnings)"
                " VALUES (?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_pending(addition) for addition in additions],
            )

    async def publish(
        self, additions: Sequence[Addition], confirm: Confirm
    ) -> tuple[list[Outcome | None], list[str]]:
        """Make each live in place of those with its source that its principal may see.

        Gives each one's outcome, none where `confirm` called it off; and the ids whose points must
        go. All of it, and what `confirm` writes, shows at one commit.
        """
        async with self._database.transaction() as connection:
            replaced = await _replaced(connection, additions)
            live = _ids(await connection.execute_fetchall(*_live(additions)))
            changes = {
                addition.document.id: _change(addition.document.id, replaced, live)
                for addition in additions
            }
            confirmed = await confirm(connection, changes)
            gone = [one.id for document_id in confirmed for one in changes[document_id].replaced]
            await connection.executemany(
                "UPDATE documents SET state = ? WHERE id = ?",
                [("deleting", one) for one in gone] + [("live", one) for one in confirmed],
            )
        called_off = changes.keys() - set(confirmed)
        gone += called_off - live
        return [
            None if one in called_off else change.outcome for one, change in changes.items()
        ], gone

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

    async def unfinished(self, sources: Sequence[tuple[str, str]] | None = None) -> list[str]:
        """Ids of all that is `pending` or `deleting`, or of that with these (tenant, source).

        Of a source whose changes are locked, and of all at start, it was left by what broke off.
        """
        sql = "SELECT id, tenant, source FROM documents WHERE state != 'live'"
        rows = await self._database.rows(sql)
        wanted = None if sources is None else set(sources)
        return [
            row["id"] for row in rows if wanted is None or (row["tenant"], row["source"]) in wanted
        ]

    async def unfinished_sources(self) -> set[tuple[str, str]]:
        """Tenant and source of all that is `pending` or `deleting`."""
        rows = await self._database.rows(
            "SELECT DISTINCT tenant, source FROM documents WHERE state != 'live'"
        )
        return {(row["tenant"], row["source"]) for row in rows}

    async def forget(self, document_ids: Sequence[str]) -> None:
        """Remove the rows of documents whose points are gone."""
        async with self._database.transaction() as connection:
            await connection.executemany(
                "DELETE FROM documents WHERE id = ? AND state != 'live'",
                [(document_id,) for document_id in document_ids],
            )


def _pending(addition: Addition) -> tuple[Any, ...]:
    document = addition.document
    return (
        document.id,
        addition.principal.tenant,
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
        document.digest,
        document.parser,
        json.dumps(document.file_metadata),
        json.dumps(document.warnings),
    )


async def _replaced(
    connection: aiosqlite.Connection, additions: Sequence[Addition]
) -> dict[str, list[Former]]:
    """By the id of each, the live documents with its source that its principal may see.

    It takes their place. One that the principal cannot see stays: two groups may each have a
    document of that name.
    """
    replaced: dict[str, list[Former]] = {addition.document.id: [] for addition in additions}
    by_principal: dict[Principal, dict[str, str]] = {}
    for addition in additions:
        document = addition.document
        by_principal.setdefault(addition.principal, {})[document.source] = document.id
    for principal, ids in by_principal.items():
        condition, parameters = visible_documents(principal)
        marks = ", ".join("?" * len(ids))
        rows = await connection.execute_fetchall(
            "SELECT id, source, title, created_at FROM documents"  # noqa: S608
            f" WHERE {condition} AND source IN ({marks})",
            [*parameters, *ids],
        )
        for row in rows:
            if row["id"] != ids[row["source"]]:
                former = Former(row["id"], row["title"], row["created_at"])
                replaced[ids[row["source"]]].append(former)
    return replaced


def _live(additions: Sequence[Addition]) -> tuple[str, list[str]]:
    """The SQL that finds which of these are live, and its parameters."""
    marks = ", ".join("?" * len(additions))
    return (
        f"SELECT id FROM documents WHERE state = 'live' AND id IN ({marks})",  # noqa: S608
        [addition.document.id for addition in additions],
    )


def _ids(rows: Iterable[aiosqlite.Row]) -> set[str]:
    return {row["id"] for row in rows}


def _change(document_id: str, replaced: Mapping[str, list[Former]], live: set[str]) -> Change:
    if former := replaced[document_id]:
        return Change(Outcome.REPLACED, tuple(former))
    return Change(Outcome.UNCHANGED if document_id in live else Outcome.ADDED)


def warned(kept: str) -> tuple[Warned, ...]:
    """Warnings as they are kept, in JSON."""
    return tuple(Warned(code, message, tuple(pages)) for code, message, pages in json.loads(kept))


def _metadata(kept: str) -> dict[str, Any]:
    """Metadata that can be sent: what came in before it was checked may not be."""
    values: dict[str, Any] = json.loads(kept, parse_constant=str)  # NaN becomes its name
    return {
        key: _HALF.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value
        for key, value in values.items()
    }


def _document(row: Any) -> Document:
    return Document(
        id=row["id"],
        source=row["source"],
        title=row["title"],
        media_type=row["media_type"],
        groups=tuple(json.loads(row["groups"])),
        metadata=_metadata(row["metadata"]),
        pages=len(json.loads(row["pages"])) or None,
        chunks=row["chunks"],
        characters=row["characters"],
        created_at=row["created_at"],
        sha256=row["digest"] or None,
        parser=row["parser"],
        file_metadata=json.loads(row["file_metadata"]),
        warnings=warned(row["warnings"]),
    )


def _cursor(document: Document) -> str:
    return f"{document.created_at}~{document.id}"


def _fields(document: Document) -> dict[str, Any]:
    """What filters ask of: the document's own fields before a metadata key of the same name."""
    own = {
        "document_id": document.id,
        "source": document.source,
        "title": document.title,
        "media_type": document.media_type,
    }
    told = {f"{FILE_METADATA}{name}": value for name, value in document.file_metadata.items()}
    return document.metadata | told | own
