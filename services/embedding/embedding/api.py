"""The HTTP surface of the engine."""

import asyncio
import base64
import hashlib
from typing import Annotated

import numpy as np
import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from bulkhead.disconnect import unless_disconnected
from bulkhead.errors import InvalidValue, NotFound, Unavailable
from embedding.engine import Engine
from embedding.schemas import (
    EmbeddingReply,
    EmbeddingRequest,
    Model,
    ModelList,
    Ranked,
    RerankReply,
    RerankRequest,
)

router = APIRouter()


async def _engine(request: Request) -> Engine:  # a plain function would take a thread's turn
    engine = request.app.state.engine
    assert isinstance(engine, Engine)
    return engine


EngineDep = Annotated[Engine, Depends(_engine)]


@router.post("/v1/embeddings", response_model=EmbeddingReply, summary="Embed texts")
async def embeddings(body: EmbeddingRequest, engine: EngineDep, request: Request) -> Response:
    """Unit vectors of the texts, in order; OpenAI's shape."""
    backend = engine.backend
    _check_model(body.model, engine)
    if body.dimensions not in (None, backend.dimension):
        raise InvalidValue(f"dimensions: {backend.model_id} has {backend.dimension}")
    truncate = request.app.state.truncate if body.truncate is None else body.truncate
    work = engine.embed(body.texts(), body.input_type, truncate=truncate)
    result = await unless_disconnected(request, work)
    read = sum(result.tokens)
    reply = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _base64(vector) if body.encoding_format == "base64" else vector,
            }
            for index, vector in enumerate(result.vectors)
        ],
        "model": backend.model_id,
        "usage": {"prompt_tokens": read, "total_tokens": read},
    }
    content = orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, media_type="application/json")


@router.post("/v1/rerank", summary="Order documents by relevance")
async def rerank(body: RerankRequest, engine: EngineDep, request: Request) -> RerankReply:
    """The documents' relevance for the query, best first; 503 without a reranking model."""
    if not engine.backend.reranks:
        raise Unavailable("reranker", "no reranking model is loaded (EMBEDDING_RERANKER)")
    scores = await unless_disconnected(request, engine.rerank(body.query, body.documents))
    ranked = [Ranked(index=i, relevance_score=score) for i, score in enumerate(scores)]
    ranked.sort(key=lambda one: -one.relevance_score)
    return RerankReply(results=ranked[: body.top_n])


@router.get("/v1/models", summary="The model that is served")
async def models(engine: EngineDep) -> ModelList:
    """One model: its name, dimension, longest text and revision."""
    backend = engine.backend
    model = Model(
        id=backend.model_id,
        dimension=backend.dimension,
        max_tokens=backend.max_tokens,
        revision=backend.revision,
    )
    return ModelList(data=[model])


@router.get("/v1/tokenizer", summary="The model's tokenizer")
async def tokenizer(engine: EngineDep) -> Response:
    """The tokenizer as the JSON of the `tokenizers` library, for whoever cuts texts to fit."""
    content = engine.backend.tokenizer_json.encode()
    digest = await asyncio.to_thread(hashlib.sha256, content)
    headers = {"ETag": f'"{digest.hexdigest()}"'}
    return Response(content, media_type="application/json", headers=headers)


def _check_model(name: str, engine: Engine) -> None:
    if name not in ("", engine.backend.model_id):
        raise NotFound(f"the model here is {engine.backend.model_id}")


def _base64(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
