"""`POST /v1/embeddings`: OpenAI's call, answered by the embedding server, whatever its shape, for
whoever keeps an index of their own beside this one.

Its schemas are its own, though our embedding service has some of the same name: this call takes
what OpenAI's clients send and ignores the rest, that one refuses what it does not know and is one
server of several that may stand behind this one.
"""

import base64
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from bulkhead.disconnect import unless_disconnected
from bulkhead.errors import ApiError, UnknownModel, Unsupported
from retriever.api.body import JsonRoute
from retriever.api.deps import Reader, StackDep
from retriever.clients.embedders import EmbeddingModel, Matrix, Refused
from retriever.stack import Stack

router = APIRouter(tags=["embeddings"], route_class=JsonRoute)

MOST_TEXTS = 2048
"""Texts of one request, as at OpenAI."""
_IDS = (
    "token ids are another model's and are not read here; send the texts themselves"
    " (LangChain: check_embedding_ctx_length=False)"
)


class EmbeddingRequest(BaseModel):
    """Texts to embed. A field that nobody knows is ignored, as model servers do."""

    model_config = ConfigDict(extra="ignore")

    input: str | Annotated[list[str | int | list[int]], Field(max_length=MOST_TEXTS)] = Field(
        description="A text or a list of up to 2,048; token ids are refused.",
        examples=[["Qdrant keeps the vectors."]],
    )
    model: str | None = Field(
        None,
        description="The embedding model's name, an alias of it in `RETRIEVER_LLM_MODEL_ALIASES`,"
        " or nothing.",
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="`base64`: little-endian float32. Floats where it is not said."
    )
    dimensions: int | None = Field(None, description="The model's own, if it is given.")
    input_type: Literal["document", "query"] | None = Field(
        None,
        description="Models with prompts for the two treat them differently; a document where it"
        " is not said. OpenAI's clients send it as `extra_body`.",
    )
    truncate: bool | None = Field(
        None,
        description="Cut texts that are too long for the model, or refuse them; by default as the"
        " embedding service's `EMBEDDING_TRUNCATE` says. `usage` counts what was read.",
    )

    def texts(self) -> list[str]:
        """The texts. Raises `Unsupported` for token ids, and where a text or all of it is empty."""
        given: list[Any] = [self.input] if isinstance(self.input, str) else self.input
        if any(not isinstance(one, str) for one in given):
            raise Unsupported(_IDS, "input")
        if not given or not all(given):
            raise Unsupported("it holds an empty text, or none", "input")
        return given


class Embedding(BaseModel):
    """A text's vector, of unit length."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens that the model read, counted by its tokenizer."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingReply(BaseModel):
    """OpenAI's list of embeddings, in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


@router.post("/v1/embeddings", response_model=EmbeddingReply, name="embed", summary="Embed texts")
async def embeddings(
    body: EmbeddingRequest, request: Request, principal: Reader, stack: StackDep
) -> Response:
    """The vectors by which this stack's documents are found. The caller pays for their tokens."""
    texts = body.texts()
    await stack.limits.tokens(principal)
    served = await stack.embedding.model()
    _check(body, served, stack)
    # Where nobody waits for the answer nobody counts: that costs the most that it can be.
    tokens = sum(min(len(text.encode()), served.max_tokens) for text in texts)
    try:
        embedded = await unless_disconnected(
            request,
            stack.embedding.embedded(texts, body.input_type or "document", body.truncate),
        )
        tokens = embedded.tokens
    except Refused as error:
        tokens = 0
        raise Unsupported(error.message, "input") from error
    except ApiError:
        tokens = 0
        raise
    finally:
        await stack.limits.charge(principal, tokens)
    encoded = body.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if encoded else vector}
        for index, vector in enumerate(embedded.vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    reply = {"object": "list", "data": data, "model": served.id, "usage": usage}
    content = orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, media_type="application/json")


def _base64(vector: Matrix) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _check(body: EmbeddingRequest, served: EmbeddingModel, stack: Stack) -> None:
    """Raise `UnknownModel` or `Unsupported` for another model, or another length of its vectors."""
    named = body.model or served.id
    if served.id not in (named, stack.settings.llm_model_aliases.get(named)):
        raise UnknownModel(f"{named[:200]!r} is not here; the embedding model is {served.id!r}")
    if body.dimensions not in (None, served.dimension):
        raise Unsupported(f"the vectors of {served.id} have {served.dimension}", "dimensions")
