"""What servers that are not ours have in common: what they do not tell, settings or a try do."""

from abc import ABC, abstractmethod
from typing import Any

from bulkhead.errors import Unavailable
from retriever.clients.embedders import (
    MAX_TOKENS,
    Embedded,
    EmbeddingModel,
    Kind,
    Known,
    Refused,
    tokenizers,
    vectors,
)
from retriever.clients.embedders.http import Caller

_TRY = "A word to measure vectors by."


class Foreign(ABC):
    """A server whose vectors say how long they are, and whose replies nobody here wrote."""

    cuts = True
    most_texts = 2048

    def __init__(self, caller: Caller, known: Known) -> None:
        self._caller = caller
        self._known = known
        self._dimension: int | None = None

    @abstractmethod
    async def _told(self, seconds: float) -> tuple[str, str, int | None]:
        """The model's name, its revision and its longest text, as far as the server says them."""

    @abstractmethod
    async def _rows(
        self, texts: list[str], kind: Kind, truncate: bool | None, seconds: float
    ) -> tuple[Any, int | None]:
        """The vectors as they came, in order, and the tokens read, where the server counts them.

        Raises `ValueError` or `LookupError` for what cannot be read.
        """

    @abstractmethod
    async def _scores(self, query: str, documents: list[str], seconds: float) -> list[float]:
        """The scores, in order. Raises as `_rows` does."""

    async def model(self, seconds: float) -> EmbeddingModel:
        """The model as the server, and else the settings, tell it; its dimension by a try.

        Raises `Unavailable` also where there is no name, or another revision than the setting's.
        """
        name, revision, most = await self._told(seconds)
        known = self._known
        name = known.model or name
        if not name:
            raise self._unclear("does not name its one model: set RETRIEVER_EMBEDDING_MODEL")
        if known.revision and revision not in ("", known.revision):
            raise self._unclear(
                f"serves revision {revision!r}, and RETRIEVER_EMBEDDING_REVISION is"
                f" {known.revision!r}"
            )
        if self._dimension is None:
            try:
                tried = await self.embed([_TRY], "document", None, seconds)
            except (Refused, vectors.Unusable) as error:
                raise self._unclear(f"fails at a first text: {error}") from error
            self._dimension = tried.vectors.shape[1]
        return EmbeddingModel(
            id=name,
            revision=revision or known.revision,
            dimension=self._dimension,
            max_tokens=known.max_tokens or most or MAX_TOKENS,
        )

    async def tokenizer(self, seconds: float) -> str:
        """The one that the settings name, else an estimate."""
        return await tokenizers.load(self._known.tokenizer)

    async def embed(
        self, texts: list[str], kind: Kind, truncate: bool | None, seconds: float
    ) -> Embedded:
        """The vectors, checked. Raises `Unusable` for one without a direction."""
        length = self._known.dimensions or self._dimension
        try:
            rows, tokens = await self._rows(texts, kind, truncate, seconds)
            found = vectors.matrix(rows, len(texts), length)
        except vectors.Unusable:
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self._caller.unreadable(str(error)) from error
        return Embedded(found, sum(map(_about, texts)) if tokens is None else tokens)

    async def rerank(self, query: str, documents: list[str], seconds: float) -> list[float]:
        """The scores, one for each document."""
        try:
            return await self._scores(query, documents, seconds)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self._caller.unreadable(str(error)) from error

    def _unclear(self, why: str) -> Unavailable:
        return Unavailable(self._caller.part, f"the {self._caller.part} server {why}")


def _about(text: str) -> int:
    """Tokens of a text that nobody counted: four bytes each."""
    return len(text.encode()) // 4 + 1
