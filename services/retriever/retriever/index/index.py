"""The index: every read and write of documents and chunks, each in a principal's name."""

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

from qdrant_client.models import SparseVector

from bulkhead.auth import Principal
from retriever.index.access import EVERYONE, Filters, visible_points
from retriever.index.documents import Documents
from retriever.index.model import Document, Hit, NewDocument, Outcome
from retriever.index.vectors import Legs, Stamp, Vectors

_ATTEMPTS = 3
"""How often a search is made anew because a document that it found changed meanwhile."""


class Index:
    """SQLite says which documents are live and whose; Qdrant finds their chunks."""

    def __init__(self, documents: Documents, vectors: Vectors) -> None:
        self._documents = documents
        self._vectors = vectors
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._made = False

    async def open(self, stamp: Stamp) -> None:
        """Make or check the collection, and clear what a process that died left half done."""
        await self._vectors.ensure(stamp)
        await self._purge(await self._documents.unfinished())

    async def search(
        self, principal: Principal, legs: Legs, limit: int, filters: Filters | None = None
    ) -> list[Hit]:
        """The best `limit` chunks of live documents that the principal may see."""
        # Before the first start with an embedding service there is no collection, and no document.
        self._made = self._made or await self._vectors.exists()
        if not self._made:
            return []
        for _ in range(_ATTEMPTS):
            hidden = await self._documents.unfinished()
            visible = visible_points(principal, filters, hidden)
            hits = await self._vectors.search(legs, visible, limit)
            live = await self._documents.live(principal, sorted({hit.document_id for hit in hits}))
            if all(hit.document_id in live for hit in hits):
                break
        return [hit for hit in hits if hit.document_id in live]

    async def add(
        self,
        principal: Principal,
        document: NewDocument,
        dense: Sequence[Sequence[float]],
        sparse: Sequence[SparseVector],
    ) -> Outcome:
        """Take a document in, in place of the live one with its source, if there is one.

        Readers see the old one until all of the new one is written, and from then on the new one.
        """
        async with self._lock(principal.tenant, document.source):
            if await self._documents.get(principal, document.id):
                return Outcome.UNCHANGED
            await self._documents.begin(principal, document)
            groups = document.groups or (EVERYONE,)
            await self._vectors.upsert(principal.tenant, groups, document, dense, sparse)
            replaced = await self._documents.publish(principal, document)
            await self._purge(replaced)
            return Outcome.REPLACED if replaced else Outcome.ADDED

    async def get(self, principal: Principal, document_id: str) -> Document | None:
        """The document, or none when it is not there for this principal."""
        return await self._documents.get(principal, document_id)

    async def text(self, principal: Principal, document_id: str) -> str | None:
        """A document's extracted text, or none when it is not there for this principal."""
        return await self._documents.text(principal, document_id)

    async def page(
        self, principal: Principal, limit: int, cursor: str | None
    ) -> tuple[list[Document], str | None]:
        """A page of the documents that the principal may see, and the cursor of the next."""
        return await self._documents.page(principal, limit, cursor)

    async def delete(self, principal: Principal, document_id: str) -> bool:
        """Remove a document and every point of it; false when it is not there."""
        document = await self._documents.get(principal, document_id)
        if document is None:
            return False
        async with self._lock(principal.tenant, document.source):
            hidden = await self._documents.hide(principal, document_id)
            if hidden:
                await self._purge([document_id])
            return hidden

    async def _purge(self, document_ids: Sequence[str]) -> None:
        await self._vectors.delete(document_ids)
        await self._documents.forget(document_ids)

    def _lock(self, tenant: str, source: str) -> asyncio.Lock:
        """One change of a source at a time; the lock lives as long as somebody holds it."""
        return self._locks.setdefault((tenant, source), asyncio.Lock())
