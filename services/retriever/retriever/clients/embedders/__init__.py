"""Servers that embed and rerank, a module for each shape of API that they have.

`bulkhead` is our own service. `openai` is what OpenAI, vLLM, llama.cpp, Ollama and Infinity share.
A shape turns texts into numbers and says what it knows of its model; order, length and soundness of
the vectors are checked here for all of them (`vectors`), and so are keys, pauses and errors
(`http`).
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bulkhead.errors import Unavailable

PART = "embedding"
RERANKER = "reranker"
Kind = Literal["query", "document"]
Matrix = NDArray[np.float32]
MAX_TOKENS = 512
"""Tokens of a text where neither server nor setting says: few models read less."""


class Refused(Unavailable):
    """The server will not take this text: to wait is of no use."""


class TooLarge(Refused):
    """The server will not take so much at once: fewer texts may go through."""


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """What is known of the model that is served."""

    id: str
    revision: str
    dimension: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector a text, in order, each of unit length, and the tokens that were read for them."""

    vectors: Matrix
    tokens: int


@dataclass(frozen=True, slots=True)
class Known:
    """What settings say of the model, for servers that do not."""

    model: str = ""
    revision: str = ""
    dimensions: int | None = None
    """Asked for in each request; none: the model's own."""
    max_tokens: int | None = None
    tokenizer: str = ""


class Embedder(Protocol):
    """A server of one shape. Each call raises `Unavailable` with the part that it serves."""

    cuts: bool
    """Whether it cuts texts that are too long by itself."""
    most_texts: int
    """Texts of one request, at most."""

    async def model(self, seconds: float) -> EmbeddingModel:
        """The model, asked anew."""
        ...

    async def tokenizer(self, seconds: float) -> str:
        """The text of a `tokenizer.json`, by which texts are measured."""
        ...

    async def embed(
        self, texts: list[str], kind: Kind, truncate: bool | None, seconds: float
    ) -> Embedded:
        """The texts' vectors. With `truncate` texts are cut, without it refused; none: as usual."""
        ...

    async def rerank(self, query: str, documents: list[str], seconds: float) -> list[float]:
        """A relevance score a document, in the order given."""
        ...
