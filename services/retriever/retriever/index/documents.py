"""The documents in PostgreSQL: their text, whose they are, and whether they are live."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    and_,
    any_,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from bulkhead.auth import Principal
from bulkhead.errors import Unavailable
from retriever.database import PART, Database
from retriever.index.access import LIVE, visible_documents
from retriever.index.filters import FILE_METADATA, Filters, matches
from retriever.index.model import Addition, Change, Document, Former, Outcome
from retriever.index.rows import COLUMNS, to_document, to_row
from retriever.state import locks
from retriever.state.holds import Held, held
from retriever.state.schema import CURRENT, collection, documents
from retriever.state.values import beyond, cursor_of, moment

Confirm = Callable[[AsyncConnection, Mapping[str, Change]], Awaitable[Collection[str]]]
"""Told of changes, by the document's id, before they are committed, to note them in the same
transaction; gives the ids of those that are to be made, and calls the others off."""

_LOOK, _MOST_LOOKS = 1000, 10
"""Documents that are looked at in one go for those that meet a filter, and how often in a page."""
_UNFINISHED = documents.c.state != LIVE


class Moved(Unavailable):
    """Another collection has taken the place of the one that this process writes."""

    def __init__(self) -> None:
        super().__init__(
            "qdrant",
            "the documents' chunks are in another collection now, perhaps of another embedding"
            " model: where this lasts, start the process anew with it",
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
        row = await self._database.row(_seen(principal).where(documents.c.id == document_id))
        return to_document(row) if row else None

    async def is_alone(self, principal: Principal, document: Document) -> bool:
        """Whether the principal sees no other document with this one's source."""
        row = await self._database.row(
            select(documents.c.id)
            .where(visible_documents(principal))
            .where(documents.c.source == document.source, documents.c.id != document.id)
            .limit(1)
        )
        return row is None

    async def text(self, principal: Principal, document_id: str) -> str | None:
        """The extracted text, or none when it is not there for this principal."""
        row = await self._database.row(
            select(documents.c.text)
            .where(visible_documents(principal))
            .where(documents.c.id == document_id)
        )
        return str(row.text) if row else None

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
        statement = _seen(principal)
        if sources:
            statement = statement.where(documents.c.source.in_(sources))
        if cursor:
            statement = statement.where(beyond(documents, cursor))
        statement = statement.order_by(documents.c.created_at, documents.c.id).limit(limit + 1)
        rows = await self._database.rows(statement)
        looked = [to_document(row) for row in rows[:limit]]
        return looked, _cursor(looked[-1]) if len(rows) > limit else None

    async def live(self, principal: Principal, document_ids: Sequence[str]) -> set[str]:
        """Which of these ids are live documents that the principal may see."""
        rows = await self._database.rows(
            select(documents.c.id)
            .where(visible_documents(principal))
            .where(documents.c.id == any_(literal(list(document_ids), ARRAY(Text))))
        )
        return _ids(rows)

    async def chunks(self, principal: Principal) -> int:
        """How many chunks the live documents have that the principal may see."""
        row = await self._database.row(
            select(func.sum(documents.c.chunks)).where(visible_documents(principal))
        )
        return int(row[0] or 0) if row else 0

    async def known(self, additions: Sequence[Addition]) -> set[str]:
        """Which of these are live as they are; whoever may share such a document may see it."""
        return _ids(await self._database.rows(live_among(_document_ids(additions))))

    def locked(
        self, sources: Sequence[tuple[str, str]]
    ) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction in which no other, of any process, changes documents of these sources."""
        return self._database.locked([locks.of_source(*one) for one in sources])

    def still(self) -> AbstractAsyncContextManager[object]:
        """While this is open no document becomes live or hidden, whoever changes them."""
        return self._database.locked([locks.CHANGES], seconds=10)

    @asynccontextmanager
    async def left(self, source: tuple[str, str]) -> AsyncIterator[list[str]]:
        """Ids of what a change left `pending` or `deleting` that broke off, its source locked.

        None while somebody changes documents of the source.
        """
        async with self._database.if_free(locks.of_source(*source)) as held:
            yield await self.unfinished([source]) if held is not None else []

    async def begin(self, additions: Sequence[Addition], writer: str) -> None:
        """Note the documents as `pending`, before any of their points is written."""
        statement = insert(documents)
        statement = statement.on_conflict_do_update(
            index_elements=[documents.c.id],
            set_={
                **{
                    one.name: statement.excluded[one.name]
                    for one in documents.c
                    if one.name not in ("id", "created_at")
                },
                "created_at": func.clock_timestamp(),
            },
            where=_UNFINISHED,
        )
        async with self._database.transaction() as connection:
            await connection.execute(statement, [to_row(one, writer) for one in additions])

    async def publish(
        self,
        held: AsyncConnection,
        additions: Sequence[Addition],
        writer: str,
        confirm: Confirm,
        written_to: str,
    ) -> tuple[list[Outcome | None], list[str]]:
        """Make each live in place of those with its source that its principal may see.

        Gives each one's outcome, none where `confirm` called it off; and the ids whose points must
        go. All of it, and what `confirm` writes, shows when `held` commits, the transaction that
        has locked the sources: who lost them can publish nothing. Raises `Moved` where
        chunks are no longer in the collection `written_to`.
        """
        await held.execute(select(func.pg_advisory_xact_lock_shared(locks.CHANGES)))
        current = await held.scalar(select(collection.c.name).where(collection.c.id == CURRENT))
        if current not in (None, written_to):
            raise Moved
        replaced = await _replaced(held, additions)
        live = _ids((await held.execute(live_among(_document_ids(additions)))).all())
        changes = {
            addition.document.id: _change(addition.document.id, replaced, live)
            for addition in additions
        }
        confirmed = await confirm(held, changes)
        gone = [one.id for document_id in confirmed for one in changes[document_id].replaced]
        if gone:
            await held.execute(
                update(documents).where(documents.c.id.in_(gone)).values(state="deleting")
            )
        if new := set(confirmed) - live:
            made = await held.execute(
                update(documents)
                .where(documents.c.id.in_(new), documents.c.writer == writer, _UNFINISHED)
                .values(state="live")
            )
            if made.rowcount != len(new):
                raise Unavailable(PART, "another process has taken the documents over")
        called_off = changes.keys() - set(confirmed)
        gone += called_off - live
        return [
            None if one in called_off else change.outcome for one, change in changes.items()
        ], gone

    async def hide(self, held: AsyncConnection, principal: Principal, document_id: str) -> bool:
        """Take a live document out of every read; false when it is not there."""
        await held.execute(select(func.pg_advisory_xact_lock_shared(locks.CHANGES)))
        hidden = await held.execute(
            update(documents)
            .where(visible_documents(principal), documents.c.id == document_id)
            .values(state="deleting")
        )
        return bool(hidden.rowcount)

    async def unfinished(self, sources: Sequence[tuple[str, str]] | None = None) -> list[str]:
        """Ids of all that is `pending` or `deleting`, or of that with these (tenant, source).

        Of a source whose changes are locked it was left by what broke off.
        """
        statement = select(documents.c.id).where(_UNFINISHED)
        if sources is not None:
            statement = statement.where(_of(sources))
        return [row.id for row in await self._database.rows(statement)]

    async def unfinished_sources(self) -> set[tuple[str, str]]:
        """Tenant and source of all that is `pending` or `deleting`."""
        statement = select(documents.c.tenant, documents.c.source).where(_UNFINISHED).distinct()
        return {(row.tenant, row.source) for row in await self._database.rows(statement)}

    async def check_purge(self, written_to: str) -> None:
        """Raise `Held` or `Moved` where points of hidden documents are not to go from there now."""
        if await held(self._database):
            raise Held
        row = await self._database.row(select(collection.c.name).where(collection.c.id == CURRENT))
        if row and row.name != written_to:
            raise Moved

    async def gone(self, document_ids: Sequence[str]) -> list[str]:
        """Which of these ids are no live documents."""
        rows = await self._database.rows(live_among(document_ids))
        return sorted(set(document_ids) - _ids(rows))

    async def forget(self, document_ids: Sequence[str]) -> None:
        """Remove the rows of documents whose points are gone."""
        await self._database.write(
            delete(documents).where(documents.c.id.in_(document_ids), _UNFINISHED)
        )


def _seen(principal: Principal) -> Select[Any]:
    return select(*COLUMNS).where(visible_documents(principal))


def _of(sources: Sequence[tuple[str, str]]) -> ColumnElement[bool]:
    by_tenant: dict[str, list[str]] = {}
    for tenant, source in sources:
        by_tenant.setdefault(tenant, []).append(source)
    return or_(
        *(
            and_(documents.c.tenant == tenant, documents.c.source.in_(theirs))
            for tenant, theirs in by_tenant.items()
        )
    )


async def _replaced(
    connection: AsyncConnection, additions: Sequence[Addition]
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
        rows = await connection.execute(
            select(documents.c.id, documents.c.source, documents.c.title, documents.c.created_at)
            .where(visible_documents(principal))
            .where(documents.c.source.in_(list(ids)))
            .order_by(documents.c.created_at, documents.c.id)
        )
        for row in rows:
            if row.id != ids[row.source]:
                former = Former(row.id, row.title, moment(row.created_at))
                replaced[ids[row.source]].append(former)
    return replaced


def live_among(document_ids: Collection[str]) -> Select[tuple[str]]:
    """Which of these ids are live documents, whoever may see them."""
    return select(documents.c.id).where(documents.c.id.in_(document_ids), documents.c.state == LIVE)


def _document_ids(additions: Sequence[Addition]) -> list[str]:
    return [addition.document.id for addition in additions]


def _ids(rows: Sequence[Row[Any]]) -> set[str]:
    return {row.id for row in rows}


def _change(document_id: str, replaced: Mapping[str, list[Former]], live: set[str]) -> Change:
    if former := replaced[document_id]:
        return Change(Outcome.REPLACED, tuple(former))
    return Change(Outcome.UNCHANGED if document_id in live else Outcome.ADDED)


def _cursor(document: Document) -> str:
    return cursor_of(document.created_at, document.id)


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
