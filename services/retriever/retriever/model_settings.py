"""Which servers embed, rerank and write, and how they are asked."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, HttpUrl, field_validator, model_validator

from bulkhead.model_servers import ModelServer, ModelServers, in_order
from bulkhead.settings import ServiceSettings
from retriever.clients.embedders.tokenizers import HUB_NAME, check

Shape = Literal["bulkhead", "openai", "tei", "cohere"]


class ModelSettings(ServiceSettings):
    """The settings of all that models do; docs/models.md has examples."""

    embedding_url: HttpUrl = Field(
        HttpUrl("http://127.0.0.1:8081"),
        description="Address of the embedding server; in the shape `openai` what stands before"
        " `/embeddings`, mostly ending in `/v1`.",
    )
    embedding_shape: Shape = Field(
        "bulkhead",
        description="What API it has: our own service's; OpenAI's, which vLLM, llama.cpp, Ollama"
        " and Infinity share; that of Text Embeddings Inference; or Cohere's.",
    )
    embedding_api_key_file: Path | None = Field(
        None, description="File that holds the embedding server's key, if it asks for one."
    )
    embedding_model: str = Field(
        "",
        description="The embedding model's name, for servers that have several or say none. Our own"
        " service serves one.",
    )
    embedding_revision: str = Field(
        "",
        description="The embedding model's revision, where the server says none; the index is"
        " refused when it changes. A server that names another is not used.",
    )
    embedding_dimensions: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="Numbers of a vector that the server is asked for, where its model can be cut"
        " (Matryoshka); none: the model's own.",
    )
    embedding_max_tokens: int | None = Field(
        None,
        ge=32,
        description="Longest text that the embedding model reads, in tokens, special ones included;"
        " none: what the server says, else 512. Our own service says its own.",
    )
    embedding_tokenizer: str = Field(
        "",
        description="What measures texts for a server that is not ours: a file `tokenizer.json`, or"
        " `owner/name@revision` on the model hub; none: an estimate that counts more than models"
        " do.",
    )
    embedding_query_prefix: str = Field(
        "", description="What is put before a question, as `query: `; spaces count."
    )
    embedding_passage_prefix: str = Field(
        "",
        description="What is put before a passage, as `passage: `. The index is refused when it"
        " changes.",
    )
    embedding_batch: int = Field(
        16, ge=1, le=2048, description="Texts of one request to the embedding server."
    )
    embedding_timeout: float = Field(
        60.0,
        gt=0,
        description="Longest wait for one batch of embeddings, in seconds, with the pauses that the"
        " server asks for (429).",
    )
    query_embedding_timeout: float = Field(
        5.0,
        gt=0,
        description="Longest wait for a question's embedding, in seconds; then search is sparse.",
    )
    query_cache_entries: int = Field(
        4096, ge=0, description="Embeddings of questions that are kept; 0 keeps none."
    )
    reranker_url: HttpUrl | None = Field(
        None, description="Address of the reranking server; none: the embedding server is asked."
    )
    reranker_shape: Shape | None = Field(
        None, description="What API it has; none: the embedding server's."
    )
    reranker_api_key_file: Path | None = Field(
        None, description="File that holds the key of the server at `RETRIEVER_RERANKER_URL`."
    )
    reranker_model: str = Field(
        "", description="The reranking model's name, for servers that have several."
    )

    llm_url: ModelServers = Field(
        HttpUrl("http://127.0.0.1:8000/v1"),
        description="Address of an OpenAI-compatible server, or JSON, servers in order: "
        '`[{"url": "…/v1", "api_key_file": "…", "model": "…"}]`. The next is asked where one does'
        " not answer.",
    )
    llm_model: str = Field(
        "",
        description="The model that answers where a request names none; else the first on offer"
        " whose name does not say that it embeds.",
    )
    llm_model_aliases: dict[str, str] = Field(
        {},
        description="JSON: names that clients send, each with a model on offer; `*` stands for all"
        " that are not known, which are 404 otherwise.",
    )
    llm_api_key_file: Path | None = Field(
        None, description="File that holds the model server's key, if it asks for one."
    )
    llm_timeout: float = Field(
        120.0, gt=0, description="Longest silence of the model server, in seconds."
    )

    def model_servers(self) -> list[ModelServer]:
        """Those that write, in the order in which they are asked."""
        return in_order(self.llm_url, self.llm_api_key_file, self.llm_model)

    @field_validator("embedding_tokenizer")
    @classmethod
    def _a_tokenizer(cls, named: str) -> str:
        if named and not HUB_NAME.fullmatch(named):
            check(Path(named))
        return named

    @model_validator(mode="after")
    def _each_server_is_named(self) -> Self:
        self.model_servers()
        if self.embedding_shape == "cohere" and not self.embedding_model:
            raise ValueError("RETRIEVER_EMBEDDING_SHAPE=cohere needs RETRIEVER_EMBEDDING_MODEL")
        if self.reranker_api_key_file and not self.reranker_url:
            raise ValueError("RETRIEVER_RERANKER_API_KEY_FILE needs RETRIEVER_RERANKER_URL")
        return self
