"""Our own embedding service: it tells all of its model, tokenizer included."""

from typing import Any

from retriever.clients.embedders import Embedded, EmbeddingModel, Kind, Known, vectors
from retriever.clients.embedders.http import Caller


class Bulkhead:
    """`/v1/embeddings`, `/v1/rerank`, `/v1/models` and `/v1/tokenizer`."""

    cuts = True
    most_texts = 2048

    def __init__(self, caller: Caller, known: Known) -> None:
        self._caller = caller
        self._known = known

    async def model(self, seconds: float) -> EmbeddingModel:
        """The model, which changes its revision when its weights do."""
        told = await self._caller.json("GET", "/v1/models", seconds=seconds)
        try:
            served = told["data"][0]
            return EmbeddingModel(
                id=str(served["id"]),
                revision=str(served["revision"]),
                dimension=int(served["dimension"]),
                max_tokens=int(served["max_tokens"]),
            )
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self._caller.unreadable(
                "its list of models is not our embedding service's"
                " (RETRIEVER_EMBEDDING_SHAPE names others)"
            ) from error

    async def tokenizer(self, seconds: float) -> str:
        """The model's own."""
        return await self._caller.text("/v1/tokenizer", seconds=seconds)

    async def embed(
        self, texts: list[str], kind: Kind, truncate: bool | None, seconds: float
    ) -> Embedded:
        """The vectors, with the model's own prompts for `kind`."""
        body: dict[str, Any] = {
            "input": texts,
            "encoding_format": "base64",
            "input_type": kind,
            "truncate": truncate,
        }
        told = await self._caller.json("POST", "/v1/embeddings", body, seconds=seconds)
        try:
            rows = vectors.by_index(told["data"], len(texts), "embedding")
            return Embedded(vectors.matrix(rows, len(texts)), int(told["usage"]["total_tokens"]))
        except vectors.Unusable:
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self._caller.unreadable(str(error)) from error

    async def rerank(self, query: str, documents: list[str], seconds: float) -> list[float]:
        """The scores of the reranking model, where the service has one."""
        body = {"query": query, "documents": documents, "top_n": len(documents)}
        told = await self._caller.json("POST", "/v1/rerank", body, seconds=seconds)
        try:
            return vectors.scores(told["results"], len(documents), "relevance_score")
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self._caller.unreadable(str(error)) from error
