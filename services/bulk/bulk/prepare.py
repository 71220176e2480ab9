"""Documents as they were found become documents ready to embed."""

import asyncio
import logging
from functools import partial

from bulk.model import Failed, Found, Known, One, Ready, grouped
from bulk.stores import Patience, Stores, Told
from bulkhead.errors import ApiError
from retriever.index.model import NewDocument
from retriever.index.sparse import BM25
from retriever.ingest.items import BROKEN, Item
from retriever.ingest.prepare import Preparer
from retriever.ingest.runs import Ended
from retriever.ingest.shapes import document_of, identity, searchable_texts

logger = logging.getLogger(__name__)

MOST_CHUNKS = 256
"""Chunks that are embedded and published together; a document of more is alone."""


class Preparing:
    """Parses and cuts, with the code that does so for the API."""

    def __init__(
        self, told: Told, stores: Stores, preparer: Preparer, bm25: BM25, patience: Patience
    ) -> None:
        self._told = told
        self._documents = stores.documents
        self._preparer = preparer
        self._bm25 = bm25
        self._patience = patience
        self._at_once = asyncio.Semaphore(told.retriever.documents_at_once)

    async def prepared(self, group: list[One]) -> list[list[One]]:
        """The group's documents, ready, in groups of a bounded number of chunks.

        What is live as it is needs no more work, and what cannot be read is among them as failed.
        """
        found = [one for one in group if isinstance(one, Found)]
        ids = [await self._identity(one) for one in found]
        look = partial(self._documents.live, self._told.who, ids)
        live = await self._patience.until(look) if ids else set()
        known = {one.new.upload: id_ for one, id_ in zip(found, ids, strict=True) if id_ in live}
        made = await asyncio.gather(*(self._one(one, known) for one in group))
        return list(grouped(made, _chunks, MOST_CHUNKS))

    async def _identity(self, one: Found) -> str:
        version = partial(self._preparer.version, one.new.media_type)
        return identity(self._item(one), await self._patience.until(version))

    async def _one(self, one: One, known: dict[str, str]) -> One:
        if not isinstance(one, Found):
            return one
        place = one.new.upload
        if id_ := known.get(place):
            return Known(place, _named(id_, one))
        try:
            async with self._at_once:
                return await self._ready(one)
        except ApiError as error:
            return Failed(place, error.message, one.new.source)
        except Ended:
            raise
        except Exception:
            logger.exception("a document could not be read", extra={"place": place})
            return Failed(place, BROKEN, one.new.source)

    async def _ready(self, one: Found) -> Ready:
        new = one.new
        prepare = partial(self._preparer.prepare, new.upload, one.data, new.source)
        prepared = await self._patience.until(partial(prepare, new.media_type, new.digest))
        document = document_of(self._item(one), prepared)
        texts = searchable_texts(document)
        sparse = await asyncio.to_thread(self._bm25.documents, texts)
        return Ready(new.upload, document, texts, sparse)

    def _item(self, one: Found) -> Item:
        return Item(self._told.job_id, 0, self._told.who, one.new)


def _named(id_: str, one: Found) -> NewDocument:
    new = one.new
    return NewDocument(id_, new.source, "", "", new.groups, {}, "", (), [], new.digest)


def _chunks(one: One) -> int:
    return len(one.texts) if isinstance(one, Ready) else 0
