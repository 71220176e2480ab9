"""Servers that embed and rerank, in the shapes that others have, as their documentation tells them.

Each computes the same vectors: a count of letters, so that texts with the same words are near.
`faults` come before answers: what is put there is sent once, to the next call of its path.
"""

import json
import math
from collections import defaultdict
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
DIMENSION = len(LETTERS)


def letters(text: str, dimension: int = DIMENSION) -> list[float]:
    """How often each letter stands in a text, which is not of unit length."""
    counted = [float(text.lower().count(letter)) for letter in LETTERS][:dimension]
    counted[0] += 0.5  # no text is without direction
    return counted


def unit(text: str, dimension: int = DIMENSION) -> list[float]:
    """The same, of unit length."""
    vector = letters(text, dimension)
    length = math.sqrt(sum(number * number for number in vector))
    return [number / length for number in vector]


def shared(query: str, document: str) -> float:
    """How many of the query's words a document has."""
    return float(len(set(query.lower().split()) & set(document.lower().split())))


class EmbeddingServer:
    """What the shapes have in common."""

    def __init__(self, key: str = "", most_texts: int = 2048) -> None:
        self.key = key
        self.most_texts = most_texts
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.faults: dict[str, list[Response]] = defaultdict(list)
        self.app = FastAPI()
        self.app.middleware("http")(self._faulty)

    async def _faulty(self, request: Request, call_next: Any) -> Response:
        path = request.url.path
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": {"message": f"Incorrect API key: {self.key}"}}, 401)
        if self.faults[path]:
            return self.faults[path].pop(0)
        answer: Response = await call_next(request)
        return answer

    async def heard(self, request: Request) -> dict[str, Any]:
        """The body of a request, kept."""
        body: dict[str, Any] = await request.json()
        self.requests.append((request.url.path, body))
        return body

    def bodies(self, path: str) -> list[dict[str, Any]]:
        """What was asked of a call."""
        return [body for asked, body in self.requests if asked == path]


class OpenAIShape(EmbeddingServer):
    """OpenAI's call; the rows come last first, as none of it says that they may not."""

    def __init__(self, prefix: str = "/v1", listing: bool = True, **told: Any) -> None:
        super().__init__(**told)
        self.app.post(f"{prefix}/embeddings")(self.embeddings)
        self.app.post(f"{prefix}/rerank")(self.rerank)
        if listing:
            self.app.get(f"{prefix}/models")(self.models)

    async def models(self) -> dict[str, Any]:
        """One model, with vLLM's word for its length."""
        return {"object": "list", "data": [{"id": "letters", "max_model_len": 300}]}

    async def embeddings(self, request: Request) -> Response:
        """The vectors."""
        body = await self.heard(request)
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        if len(texts) > self.most_texts:
            return JSONResponse({"error": {"message": "too many inputs"}}, 413)
        length = body.get("dimensions", DIMENSION)
        rows = [
            {"object": "embedding", "index": n, "embedding": letters(text, length)}
            for n, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 7 * len(texts), "total_tokens": 7 * len(texts)}
        return JSONResponse({"object": "list", "data": rows[::-1], "usage": usage})

    async def rerank(self, request: Request) -> Response:
        """The scores, best first."""
        body = await self.heard(request)
        found = [
            {"index": n, "relevance_score": shared(body["query"], one)}
            for n, one in enumerate(body["documents"])
        ]
        found.sort(key=lambda one: -float(one["relevance_score"]))
        return JSONResponse({"results": found[: body["top_n"]]})


class TEIShape(EmbeddingServer):
    """Text Embeddings Inference: bare lists of vectors, `texts` to rerank, a largest batch."""

    def __init__(self, **told: Any) -> None:
        super().__init__(**{"most_texts": 4} | told)
        self.app.get("/info")(self.info)
        self.app.post("/embed")(self.embed)
        self.app.post("/rerank")(self.rerank)

    async def info(self) -> dict[str, Any]:
        """What the server says of itself."""
        return {
            "model_id": "example/letters",
            "model_sha": "0a1b2c",
            "model_dtype": "float32",
            "model_type": {"embedding": {"pooling": "cls"}},
            "max_input_length": 256,
            "max_client_batch_size": self.most_texts,
        }

    def _too_many(self, texts: list[str]) -> Response | None:
        if len(texts) <= self.most_texts:
            return None
        return JSONResponse({"error": "batch size error", "error_type": "Validation"}, 413)

    async def embed(self, request: Request) -> Response:
        """The vectors, of unit length as `normalize` is by default."""
        body = await self.heard(request)
        return self._too_many(body["inputs"]) or JSONResponse([unit(t) for t in body["inputs"]])

    async def rerank(self, request: Request) -> Response:
        """The scores, best first."""
        body = await self.heard(request)
        texts = body["texts"]
        found = [{"index": n, "score": shared(body["query"], t)} for n, t in enumerate(texts)]
        found.sort(key=lambda one: -float(one["score"]))
        return self._too_many(texts) or JSONResponse(found)


class CohereShape(EmbeddingServer):
    """Cohere's second version: vectors by type, a model that has to be named."""

    def __init__(self, **told: Any) -> None:
        super().__init__(**{"most_texts": 96} | told)
        self.app.get("/v1/models/{name}")(self.model)
        self.app.post("/v2/embed")(self.embed)
        self.app.post("/v2/rerank")(self.rerank)

    async def model(self, name: str) -> dict[str, Any]:
        """What is known of a model."""
        return {"name": name, "endpoints": ["embed"], "context_length": 512}

    async def embed(self, request: Request) -> Response:
        """The vectors, as floats."""
        body = await self.heard(request)
        if body["input_type"] not in ("search_query", "search_document"):
            return JSONResponse({"message": "invalid input_type"}, 400)
        length = body.get("output_dimension", DIMENSION)
        return JSONResponse(
            {
                "id": "1",
                "embeddings": {"float": [unit(text, length) for text in body["texts"]]},
                "texts": body["texts"],
                "meta": {"billed_units": {"input_tokens": 5 * len(body["texts"])}},
            }
        )

    async def rerank(self, request: Request) -> Response:
        """The scores, best first."""
        body = await self.heard(request)
        found = [
            {"index": n, "relevance_score": shared(body["query"], one)}
            for n, one in enumerate(body["documents"])
        ]
        found.sort(key=lambda one: -float(one["relevance_score"]))
        return JSONResponse({"id": "2", "results": found[: body["top_n"]], "meta": {}})


def said(content: Any, status: int = 200, **headers: str) -> Response:
    """A reply as it is, JSON unless it is text."""
    if isinstance(content, str):
        return Response(content, status, headers, "text/html")
    return Response(json.dumps(content), status, headers, "application/json")  # NaN and all
