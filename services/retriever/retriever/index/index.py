"""The index: every read and write of documents and chunks, each in a principal's name."""

import asyncio
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from bulkhead.auth import Principal, Role
from bulkhead.errors import Unavailable
from retriever.index.access import visible_points
from retriever.index.collection import Stamp
from retriever.index.corpus import corpus
from retriever.index.documents import Confirm, Documents, Moved
from retriever.index.filters import Filters
from retriever.index.model import Addition, Change, Deletion, Document, Hit, Outcome
from retriever.index.vectors import Legs, Vectors
from retriever.state.holds import Held

_ATTEMPTS = 2
"""How often a search is made beside changes; found what is not live, it makes one that is alone."""
_SIZE_SECONDS = 60.0
_MOST_SIZES = 4096
_NOWHERE = "nowhere"
"""No document's id: to delete it is a write that changes nothing."""


async def _all(_: object, changes: Mapping[str, Change]) -> Collection[str]:
    return changes


class Index:
    """PostgreSQL says which documents are live and whose; Qdrant finds their chunks.

    Any number of processes may have one, over the same database and the same Qdrant server.
    """

    def __init__(self, documents: Documents, vectors: Vectors) -> None:
        self._documents = documents
        self._vectors = vectors
        self._made = False
        self._sizes: dict[tuple[str, Role, frozenset[str]], tuple[float, int]] = {}

    async def open(self, stamp: Stamp) -> None:
        """Make or check the collection, and clear what a process that died left half done."""
        await self._vectors.ensure(stamp)
        await self._clear_left()

    async def search(
        self, principal: Principal, legs: Legs, limit: int, filters: Filters = ()
    ) -> list[Hit]:
        """The best `limit` chunks of live documents that the principal may see."""
        # Before the first start with an embedding service there is no collection, and no document.
        self._made = self._made or await self._vectors.exists()
        if not self._made:
            return []
        hidden: Sequence[str] = ()
        for _ in range(_ATTEMPTS):
            hits, live = await self._search(principal, legs, limit, filters, hidden)
            # What was left out as it was not live may be so by now, in place of what it replaced.
            late = hidden and await self._documents.live(principal, hidden)
            if len(hits) == len(live) and not late:
                return live
            hidden = await self._documents.unfinished()
        # Documents change faster than they are searched: hold them still, in every process.
        async with self._documents.still():
            hidden = await self._documents.unfinished()
            _, live = await self._search(principal, legs, limit, filters, hidden)
            return live

    async def _search(
        self,
        principal: Principal,
        legs: Legs,
        limit: int,
        filters: Filters,
        hidden: Sequence[str],
    ) -> tuple[list[Hit], list[Hit]]:
        """What was found, and what of it is live now that it was found."""
        visible = visible_points(principal, filters, hidden)
        counted = corpus(principal, await self._seen(principal))
        hits = await self._vectors.search(legs, visible, counted, limit)
        live = await self._documents.live(principal, sorted({hit.document_id for hit in hits}))
        return hits, [hit for hit in hits if hit.document_id in live]

    async def _seen(self, principal: Principal) -> int:
        """How many chunks the principal may see, as it was within the last minute."""
        who = principal.tenant, principal.role, principal.groups
        counted_at, chunks = self._sizes.get(who, (-_SIZE_SECONDS, 0))
        if time.monotonic() - counted_at >= _SIZE_SECONDS:
            chunks = await self._documents.chunks(principal)
            if len(self._sizes) >= _MOST_SIZES:
                self._sizes.clear()
            self._sizes[who] = time.monotonic(), chunks
        return chunks

    async def add(
        self, additions: Sequence[Addition], confirm: Confirm = _all
    ) -> list[Outcome | None]:
        """Take documents in, each in place of those with its source that its principal may see.

        Readers see the old one until all of the new one is written, and from then on the new one.
        `confirm` may call documents off up to their commit: their outcome is none. No two of the
        additions may have the same source. Raises `Unavailable`, and nothing has changed then.
        """
        sources = sorted({addition.source for addition in additions})
        writer = uuid.uuid4().hex
        written_to = self._vectors.collection
        new: list[Addition] = []
        try:
            async with self._documents.locked(sources) as held:
                await self._make_way(additions, await self._documents.unfinished(sources))
                known = await self._documents.known(additions)
                new = [addition for addition in additions if addition.document.id not in known]
                if new:
                    await self._documents.begin(new, writer)
                    await self._vectors.upsert(new)
                outcomes, gone = await self._documents.publish(
                    held, additions, writer, confirm, written_to
                )
        except BaseException:
            # What cannot be cleared now is hidden, and swept later.
            if new:
                with suppress(Unavailable):
                    await asyncio.shield(self._clear(sources, [one.document.id for one in new]))
            raise
        if gone:
            with suppress(Unavailable):  # hidden already, and swept later
                await self._clear(sources)
        return outcomes

    async def unchanged(self, principal: Principal, document_id: str) -> Document | None:
        """The live document of this id, if it is the only one with its source for the principal.

        Handing it in again changes nothing then, and it need not be read.
        """
        document = await self._documents.get(principal, document_id)
        alone = document and await self._documents.is_alone(principal, document)
        return document if alone else None

    async def get(self, principal: Principal, document_id: str) -> Document | None:
        """The document, or none when it is not there for this principal."""
        return await self._documents.get(principal, document_id)

    async def text(self, principal: Principal, document_id: str) -> str | None:
        """A document's extracted text, or none when it is not there for this principal."""
        return await self._documents.text(principal, document_id)

    async def page(
        self,
        principal: Principal,
        limit: int,
        cursor: str | None,
        filters: Filters = (),
        sources: Sequence[str] = (),
    ) -> tuple[list[Document], str | None]:
        """A page of the documents that the principal may see, and the cursor of the next.

        With `sources`, of these alone. With filters a page may hold fewer than `limit`, though
        there are more.
        """
        return await self._documents.page(principal, limit, cursor, filters, sources)

    async def delete(self, principal: Principal, document_id: str) -> Deletion | None:
        """Remove a document and every point of it; none when it is not there.

        Raises `Unavailable` when it cannot even be decided: the document is there as before then.
        """
        document = await self._documents.get(principal, document_id)
        if document is None:
            return None
        source = principal.tenant, document.source
        async with self._documents.locked([source]) as held:
            hidden = await self._documents.hide(held, principal, document_id)
        if not hidden:
            return None
        try:
            await self._clear([source])
        except Unavailable:
            return Deletion.ACCEPTED
        return Deletion.DONE

    async def sweep(self) -> None:
        """Clear what changes left that broke off, and find out whether writes are taken again.

        Leaves alone what is being changed now, here or by another process. Raises `Unavailable`
        while the store takes none.
        """
        await self._clear_left()
        if self._vectors.refusal:
            await self._vectors.delete([_NOWHERE])

    async def _clear_left(self) -> None:
        for source in sorted(await self._documents.unfinished_sources()):
            async with self._documents.left(source) as document_ids:
                with suppress(Held, Moved):  # cleared by a later sweep
                    await self._purge(document_ids)

    async def _clear(self, sources: Sequence[tuple[str, str]], written: Sequence[str] = ()) -> None:
        """Remove what is not live of these sources, and the points `written` for what is not.

        Another process may have cleared those already, and we have written on.
        """
        async with self._documents.locked(sources):
            left = set(await self._documents.unfinished(sources))
            if written:
                left.update(await self._documents.gone(written))
            await self._purge(sorted(left))

    async def _make_way(self, additions: Sequence[Addition], left: Sequence[str]) -> None:
        """Remove what broke off before. What is held may stay, but not where it comes anew.

        Raises `Unavailable`.
        """
        try:
            await self._purge(left)
        except Held:
            if not {addition.document.id for addition in additions}.isdisjoint(left):
                raise

    async def _purge(self, document_ids: Sequence[str]) -> None:
        """Remove points, then rows. Raises `Unavailable`, as `Held` and `Moved` where they stay."""
        if document_ids:
            await self._documents.check_purge(self._vectors.collection)
            await self._vectors.delete(document_ids)
            await self._documents.forget(document_ids)
