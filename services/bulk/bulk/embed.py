"""Chunks become vectors."""

from dataclasses import replace
from functools import partial
from itertools import islice

from langchain_core.embeddings import Embeddings

from bulk.model import Failed, One, Ready
from bulk.stores import Patience
from retriever.clients.embedding import Refused


class Embedding:
    """Embeds the chunks of a group together."""

    def __init__(self, embeddings: Embeddings, patience: Patience) -> None:
        self._embeddings = embeddings
        self._patience = patience

    async def embedded(self, group: list[One]) -> list[One]:
        """The group, each of its documents that is ready with its vectors."""
        ready = [one for one in group if isinstance(one, Ready)]
        texts = [text for one in ready for text in one.texts]
        if not texts:
            return group
        try:
            dense = await self._vectors(texts)
        except Refused as error:
            if len(ready) == 1:
                return [_refused(one, error) for one in group]
            return [made for one in group for made in await self.embedded([one])]
        vectors = iter(dense)
        return [
            replace(one, dense=list(islice(vectors, len(one.texts))))
            if isinstance(one, Ready)
            else one
            for one in group
        ]

    async def _vectors(self, texts: list[str]) -> list[list[float]]:
        return await self._patience.until(partial(self._embeddings.aembed_documents, texts))


def _refused(one: One, error: Refused) -> One:
    if isinstance(one, Ready):
        return Failed(one.place, error.message, one.document.source)
    return one
