"""The servers that settings name, each by its shape."""

import aiohttp

from retriever.clients.embedders import PART, RERANKER, Embedder, Known
from retriever.clients.embedders.bulkhead import Bulkhead
from retriever.clients.embedders.cohere import Cohere
from retriever.clients.embedders.http import Caller
from retriever.clients.embedders.openai import OpenAI
from retriever.clients.embedders.tei import TEI
from retriever.model_settings import ModelSettings, Shape

_SHAPES: dict[Shape, type[Bulkhead | OpenAI | TEI | Cohere]] = {
    "bulkhead": Bulkhead,
    "openai": OpenAI,
    "tei": TEI,
    "cohere": Cohere,
}


def embedder(http: aiohttp.ClientSession, settings: ModelSettings, key: str) -> Embedder:
    """The server that embeds; `key` is empty where it asks for none."""
    known = Known(
        settings.embedding_model,
        settings.embedding_revision,
        settings.embedding_dimensions,
        settings.embedding_max_tokens,
        settings.embedding_tokenizer,
    )
    caller = Caller(http, str(settings.embedding_url), key, PART)
    return _SHAPES[settings.embedding_shape](caller, known)


def reranker(http: aiohttp.ClientSession, settings: ModelSettings, key: str) -> Embedder:
    """The server that reranks: one of its own, or the one that embeds; `key` is its."""
    url = settings.reranker_url or settings.embedding_url
    shape = settings.reranker_shape or settings.embedding_shape
    caller = Caller(http, str(url), key, RERANKER)
    return _SHAPES[shape](caller, Known(settings.reranker_model))
