"""The shapes of the API: OpenAI's for embeddings; for rerank, what Cohere, Jina and TEI share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

MOST_TEXTS = 2048

Text = Annotated[str, Field(min_length=1)]


class EmbeddingRequest(BaseModel):
    """Texts to embed."""

    model_config = ConfigDict(extra="forbid")

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)] = Field(
        examples=[["Qdrant keeps the vectors."]]
    )
    model: str = Field("", description="The served model's name, or nothing.")
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="`base64`: little-endian float32, a third of the bytes."
    )
    dimensions: int | None = Field(None, description="Must be the model's own, if it is given.")
    input_type: Literal["query", "document"] = Field(
        "document", description="Models with prompts treat the two differently; queries go first."
    )
    truncate: bool | None = Field(
        None,
        description="Cut texts that are too long for the model, or refuse them; by default as "
        "`EMBEDDING_TRUNCATE` says.",
    )
    user: str | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _no_token_ids(cls, given: object) -> object:
        first = given[0] if isinstance(given, list) and given else None
        if isinstance(first, int | list):
            raise ValueError("token ids are not read here; send the texts themselves")
        return given

    def texts(self) -> list[str]:
        """The texts, also where there is one."""
        return [self.input] if isinstance(self.input, str) else self.input


class Embedding(BaseModel):
    """A text's vector, of unit length."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens that the model read, counted by its tokenizer."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingReply(BaseModel):
    """OpenAI's list of embeddings."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class RerankRequest(BaseModel):
    """Documents to put in order for a query."""

    model_config = ConfigDict(extra="forbid")

    query: Text
    documents: Annotated[list[Text], Field(min_length=1, max_length=1000)]
    top_n: int | None = Field(None, ge=1)
    model: str = ""


class Ranked(BaseModel):
    """A document's relevance; `index` is its place in the request."""

    index: int
    relevance_score: float


class RerankReply(BaseModel):
    """The documents, most relevant first."""

    results: list[Ranked]


class Model(BaseModel):
    """The model that is served."""

    id: str
    object: Literal["model"] = "model"
    dimension: int
    max_tokens: int = Field(description="Longest text in tokens, special ones included.")
    revision: str = Field(description="Changes when the weights do.")


class ModelList(BaseModel):
    """OpenAI's list shape."""

    object: Literal["list"] = "list"
    data: list[Model]
