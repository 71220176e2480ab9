"""The embedding service, as LangChain's `Embeddings`: vectors, rerank, facts of the model."""

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import aiohttp
import numpy as np
import orjson
from langchain_core.embeddings import Embeddings
from opentelemetry.propagate import inject
from opentelemetry.trace import SpanKind

from bulkhead.errors import Unavailable
from bulkhead.telemetry import names
from bulkhead.telemetry.spans import span
from retriever.clients.query_cache import QueryCache

PART = "embedding"
Kind = Literal["query", "document"]
T = TypeVar("T")
_BATCH = 16
"""Texts of one request: few, so that a slow service answers each in time and none is done twice."""
IN_FLIGHT = 4
"""Requests of one call at a time: the service fills its batches from all that wait."""


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """What the service says of the model it serves."""

    id: str
    revision: str
    dimension: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors as the service wrote them, a list of numbers or base64 each, and what they cost."""

    vectors: list[list[float] | str]
    tokens: int


class Refused(Unavailable):
    """The embedding service will not take this text: to wait is of no use."""


class EmbeddingClient(Embeddings):
    """Calls `/v1/embeddings`, `/v1/rerank`, `/v1/models` and `/v1/tokenizer`.

    Every call raises `Unavailable("embedding")` when the service cannot be reached or fails.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        timeout: float,
        query_timeout: float,
        queries: QueryCache,
    ) -> None:
        """`url` is the service's address; timeouts are in seconds, for a whole call."""
        self._http = http
        self._url = url.rstrip("/")
        self._queries = queries
        self._timeout = timeout
        self._query_timeout = query_timeout
        self._served: EmbeddingModel | None = None

    async def model(self) -> EmbeddingModel:
        """The model that is served."""
        answer = await self._call("GET", "/v1/models", seconds=self._query_timeout)
        served = orjson.loads(answer)["data"][0]
        self._served = EmbeddingModel(
            id=served["id"],
            revision=served["revision"],
            dimension=served["dimension"],
            max_tokens=served["max_tokens"],
        )
        return self._served

    async def tokenizer(self) -> str:
        """The model's tokenizer, as the JSON that the `tokenizers` library reads."""
        answer = await self._call("GET", "/v1/tokenizer", seconds=self._timeout)
        return answer.decode()

    async def aembed_query(self, text: str) -> list[float]:
        """The vector to search with; waits no longer than a reader would."""
        served = self._served
        model = f"{served.id}\0{served.revision}" if served else ""

        async def embed() -> list[float]:
            return (await self._embed([text], "query", self._query_timeout))[0]

        return await self._queries.get(model, text, embed)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector a text, in order."""

        async def embed(batch: list[str], _: int) -> list[list[float]]:
            return await self._embed(batch, "document", self._timeout)

        batches = await _batched(texts, embed, IN_FLIGHT)
        return [vector for vectors in batches for vector in vectors]

    async def embedded(
        self, texts: list[str], kind: Kind, form: Literal["float", "base64"], truncate: bool | None
    ) -> Embedded:
        """The texts' vectors for a caller of ours, in order. Raises `Refused` with the reason.

        Queries go one batch after another: they go before documents, and readers wait for theirs.
        """
        body: dict[str, Any] = {"encoding_format": form, "input_type": kind, "truncate": truncate}

        async def embed(batch: list[str], first: int) -> dict[str, Any]:
            try:
                answer = await self._call(
                    "POST", "/v1/embeddings", {**body, "input": batch}, self._timeout
                )
            except Refused as error:  # it counts from the batch's first
                words = re.sub(
                    r"^input\.(\d+)", lambda n: f"text {int(n[1]) + first}", error.message
                )
                raise Refused(PART, words) from error
            told: dict[str, Any] = orjson.loads(answer)
            return told

        replies = await _batched(texts, embed, IN_FLIGHT if kind == "document" else 1)
        return Embedded(
            [item["embedding"] for reply in replies for item in reply["data"]],
            sum(reply["usage"]["total_tokens"] for reply in replies),
        )

    def embed_query(self, text: str) -> list[float]:
        """As `aembed_query`, for synchronous callers outside an event loop."""
        return asyncio.run(self.aembed_query(text))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """As `aembed_documents`, for synchronous callers outside an event loop."""
        return asyncio.run(self.aembed_documents(texts))

    async def rerank(self, query: str, documents: list[str]) -> list[float]:
        """A relevance score a document, in the order given.

        Raises `Unavailable("reranker")` when the service has no reranking model.
        """
        body = {"query": query, "documents": documents, "top_n": len(documents)}
        answer = await self._call("POST", "/v1/rerank", body, self._query_timeout)
        scores = [0.0] * len(documents)
        for result in orjson.loads(answer)["results"]:
            scores[result["index"]] = result["relevance_score"]
        return scores

    async def _embed(self, texts: list[str], kind: Kind, seconds: float) -> list[list[float]]:
        body = {"input": texts, "encoding_format": "base64", "input_type": kind}
        model = self._served.id if self._served else ""
        about = {names.OPERATION: names.EMBEDDINGS, names.REQUEST_MODEL: model}
        with span(f"{names.EMBEDDINGS} {model}".rstrip(), about, SpanKind.CLIENT):
            answer = await self._call("POST", "/v1/embeddings", body, seconds)
        data = sorted(orjson.loads(answer)["data"], key=lambda item: item["index"])
        return [_floats(item["embedding"]) for item in data]

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, seconds: float = 5.0
    ) -> bytes:
        headers = {"content-type": "application/json"}
        inject(headers)  # the trace and its baggage go along
        try:
            async with self._http.request(
                method,
                self._url + path,
                data=orjson.dumps(body) if body is not None else None,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(
                PART, f"the embedding service does not answer ({type(error).__name__})"
            ) from error
        if answer.status == 503 and path == "/v1/rerank":
            raise Unavailable("reranker", "the embedding service has no reranking model")
        if answer.status in (400, 413, 422):
            raise Refused(PART, _reason(content) or f"the service refuses it ({answer.status})")
        if answer.status >= 400:
            raise Unavailable(PART, f"the embedding service answered {answer.status}")
        return content


async def _batched(
    texts: list[str], embed: Callable[[list[str], int], Awaitable[T]], at_once: int
) -> list[T]:
    """What `embed` makes of each batch and the place of its first text, so many at a time."""
    limit = asyncio.Semaphore(at_once)

    async def one(first: int) -> T:
        async with limit:
            return await embed(texts[first : first + _BATCH], first)

    tasks = [asyncio.create_task(one(first)) for first in range(0, len(texts), _BATCH)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:  # one failed: the others' answers are of no use
            task.cancel()


def _reason(content: bytes) -> str:
    """Why the service refuses, in its own words; empty where it gives none."""
    try:
        return str(orjson.loads(content)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return ""


def _floats(encoded: str) -> list[float]:
    """Little-endian float32 in base64, as OpenAI's API defines it."""
    vector = np.frombuffer(base64.b64decode(encoded), dtype="<f4")
    return cast(list[float], vector.tolist())
