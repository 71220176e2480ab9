"""OpenAI's shape: OpenAI, vLLM, llama.cpp, Ollama, LM Studio, gateways; and Infinity.

The address is what stands before `/embeddings`: mostly it ends in `/v1`, Infinity's does not. The
reranking call beside it is not OpenAI's; vLLM, llama.cpp and Infinity agree on it.
"""

from typing import Any

from retriever.clients.embedders import Kind, vectors
from retriever.clients.embedders.foreign import Foreign
from retriever.clients.embedders.http import NotHere


class OpenAI(Foreign):
    """`/embeddings`, `/rerank` and, where it is there, `/models`."""

    cuts = False

    async def _told(self, seconds: float) -> tuple[str, str, int | None]:
        try:
            listed = await self._caller.json("GET", "/models", seconds=seconds)
            models = {str(one["id"]): one for one in listed["data"] or ()}
        except NotHere:
            models = {}
        except (LookupError, TypeError, AttributeError) as error:
            raise self._caller.unreadable("it lists no models") from error
        name = self._known.model or (next(iter(models)) if len(models) == 1 else "")
        return name, "", _most(models.get(name, {}))

    async def _rows(
        self, texts: list[str], kind: Kind, truncate: bool | None, seconds: float
    ) -> tuple[Any, int | None]:
        body: dict[str, Any] = {"input": texts, "encoding_format": "float"} | self._named()
        if self._known.dimensions is not None:
            body["dimensions"] = self._known.dimensions
        told = await self._caller.json("POST", "/embeddings", body, seconds=seconds)
        usage = told.get("usage") or {}
        tokens = usage.get("total_tokens") or usage.get("prompt_tokens")
        return vectors.by_index(told["data"], len(texts), "embedding"), tokens or None

    async def _scores(self, query: str, documents: list[str], seconds: float) -> list[float]:
        body = {"query": query, "documents": documents, "top_n": len(documents)} | self._named()
        told = await self._caller.json("POST", "/rerank", body, seconds=seconds)
        return vectors.scores(told["results"], len(documents), "relevance_score")

    def _named(self) -> dict[str, str]:
        return {"model": self._known.model} if self._known.model else {}


def _most(model: dict[str, Any]) -> int | None:
    """The longest text in tokens, as vLLM and llama.cpp say it."""
    meta = model.get("meta")
    most = model.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
    return most if isinstance(most, int) and most > 0 else None
