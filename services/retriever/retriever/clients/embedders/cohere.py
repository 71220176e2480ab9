"""Cohere's shape, `/v2/embed` and `/v2/rerank`: the address is what stands before `/v2`."""

from typing import Any
from urllib.parse import quote

from retriever.clients.embedders import Kind, vectors
from retriever.clients.embedders.foreign import Foreign
from retriever.clients.embedders.http import NotHere

_INPUT: dict[Kind, str] = {"query": "search_query", "document": "search_document"}


class Cohere(Foreign):
    """Models that are told whether a text is a question, as their own models need it."""

    most_texts = 96

    async def _told(self, seconds: float) -> tuple[str, str, int | None]:
        """The settings name the model. The server says how long a text may be, where it can."""
        name = self._known.model
        try:
            told = await self._caller.json("GET", f"/v1/models/{quote(name)}", seconds=seconds)
            most = told.get("context_length")
        except (NotHere, AttributeError):  # others that speak /v2 have no such call
            most = None
        return name, "", int(most) if isinstance(most, int | float) and most > 0 else None

    async def _rows(
        self, texts: list[str], kind: Kind, truncate: bool | None, seconds: float
    ) -> tuple[Any, int | None]:
        body: dict[str, Any] = {
            "model": self._known.model,
            "texts": texts,
            "input_type": _INPUT[kind],
            "embedding_types": ["float"],
            "truncate": "NONE" if truncate is False else "END",
        }
        if self._known.dimensions is not None:
            body["output_dimension"] = self._known.dimensions
        told = await self._caller.json("POST", "/v2/embed", body, seconds=seconds)
        billed = (told.get("meta") or {}).get("billed_units") or {}
        tokens = billed.get("input_tokens")
        return told["embeddings"]["float"], int(tokens) if tokens else None

    async def _scores(self, query: str, documents: list[str], seconds: float) -> list[float]:
        body = {
            "model": self._known.model,
            "query": query,
            "documents": documents,
            "top_n": len(documents),
        }
        told = await self._caller.json("POST", "/v2/rerank", body, seconds=seconds)
        return vectors.scores(told["results"], len(documents), "relevance_score")
