"""Text Embeddings Inference of Hugging Face: `/embed`, `/rerank`, `/info`; a server a model."""

from typing import Any

from retriever.clients.embedders import Kind, vectors
from retriever.clients.embedders.foreign import Foreign


class TEI(Foreign):
    """A server whose `/info` names model and commit, and how much it takes at once."""

    async def _told(self, seconds: float) -> tuple[str, str, int | None]:
        told = await self._caller.json("GET", "/info", seconds=seconds)
        try:
            self.most_texts = int(told.get("max_client_batch_size") or self.most_texts)
            most = told.get("max_input_length")
            return str(told["model_id"]), str(told.get("model_sha") or ""), most and int(most)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self._caller.unreadable("its /info names no model") from error

    async def _rows(
        self, texts: list[str], kind: Kind, truncate: bool | None, seconds: float
    ) -> tuple[Any, int | None]:
        body: dict[str, Any] = {"inputs": texts, "truncate": truncate is not False}
        if self._known.dimensions is not None:
            body["dimensions"] = self._known.dimensions
        return await self._caller.json("POST", "/embed", body, seconds=seconds), None

    async def _scores(self, query: str, documents: list[str], seconds: float) -> list[float]:
        found: list[dict[str, Any]] = []
        for first in range(0, len(documents), self.most_texts):
            batch = documents[first : first + self.most_texts]
            body = {"query": query, "texts": batch, "truncate": True}
            told = await self._caller.json("POST", "/rerank", body, seconds=seconds)
            ranked = vectors.scores(told, len(batch), "score")
            found += [{"index": first + n, "score": score} for n, score in enumerate(ranked)]
        return vectors.scores(found, len(documents), "score")
