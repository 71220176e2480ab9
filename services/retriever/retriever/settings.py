"""Everything the retriever can be told, by environment variables named `RETRIEVER_…`."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, HttpUrl, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from bulkhead.profiles import runs
from retriever.index.filters import Kind
from retriever.index.sparse import stemmer
from retriever.login.settings import LoginSettings, listed
from retriever.model_settings import ModelSettings


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class RetrieverSettings(ModelSettings, LoginSettings):
    """The retriever's settings; defaults fit the embedded mode on loopback."""

    model_config = SettingsConfigDict(env_prefix="RETRIEVER_", extra="ignore")

    moved: ClassVar[dict[str, str]] = {
        "RETRIEVER_PARSER_PROCESSES": "PARSER_PROCESSES",
        "RETRIEVER_PARSE_TIMEOUT": "PARSER_TIMEOUT",
        "RETRIEVER_PARSE_MEMORY_MIB": "PARSER_MEMORY_MIB",
        "RETRIEVER_TOOL_SERVERS": "RETRIEVER_TOOL_SERVERS_FILE",
    }

    port: int = Field(8080, ge=0, le=65535, description="Port to listen on.")
    hosts: str = Field(
        "",
        description="Names in `Host` that are served, whatever the port, with commas between; "
        "`*` is any. Empty: the loopback names while it listens on loopback, else any.",
    )
    data_dir: Path = Field(
        Path(".data/retriever"),
        description="Folder of the audit log and embedded Qdrant.",
    )
    database_url: str = Field(
        "postgresql://retriever@127.0.0.1:5433/retriever",
        description="PostgreSQL with documents, jobs, uploads, keys and votes: "
        "`postgresql://USER@HOST:PORT/NAME`, with `?sslmode=verify-full&sslrootcert=FILE` for TLS. "
        "A pooler in transaction mode may stand between.",
    )
    database_password_file: Path | None = Field(
        None, description="File that holds the password of the database's user, if it has one."
    )
    api_key_file: Path = Field(
        Path(".data/api-key"),
        description="File that holds the operator's key: admin of the tenant `default`, and "
        "manager of every tenant's keys.",
    )
    prober_key_file: Path | None = Field(
        None,
        description="File that holds the quality service's key: reader of the tenant `default`.",
    )

    requests_per_minute: int = Field(
        60_000, gt=0, description="Requests that a key may make in a minute, by default."
    )
    tokens_per_minute: int = Field(
        5_000_000,
        gt=0,
        description="Tokens of prompts and answers that a key may use in a minute, by default.",
    )
    documents_per_minute: int = Field(
        100_000, gt=0, description="Documents that a key may hand in in a minute, by default."
    )
    refusals_per_minute: int = Field(
        600,
        gt=0,
        description="Requests without a known key, per client address and minute, that get a 401; "
        "beyond them 429.",
    )

    replicas: int = Field(
        1,
        ge=1,
        le=1000,
        description="Retrievers that answer. Each has its part of the places below, and of the "
        "limits above where no Valkey counts for all.",
    )
    valkey_url: str | None = Field(
        None,
        pattern=r"^valkeys?://[^@/\s]+(/\d+)?$",
        description="Valkey or Redis that counts the limits of all retrievers together, "
        "`valkey://host:6379`, `valkeys` for TLS. While it does not answer each takes its part.",
    )
    valkey_password_file: Path | None = Field(
        None, description="File that holds Valkey's password, if it asks for one."
    )
    valkey_ca_file: Path | None = Field(
        None,
        description="File of the certificates, in PEM, that Valkey's is checked by; none: those "
        "that the system trusts.",
    )

    concurrent_searches: int = Field(
        128,
        ge=1,
        description="Searches that are served at once, of all keys; beyond them 429. Of these "
        "places, and those below, one key gets half and one tenant two thirds.",
    )
    concurrent_chats: int = Field(
        512, ge=1, description="Answers that are written at once, of all keys; beyond them 429."
    )
    concurrent_embeddings: int = Field(
        16,
        ge=1,
        description="Requests for embeddings that are served at once, of all keys; beyond them"
        " 429.",
    )
    concurrent_uploads: int = Field(
        32,
        ge=1,
        description="Requests with documents that come in at once, of all keys; beyond them 429.",
    )

    qdrant_url: Annotated[tuple[HttpUrl, ...] | None, NoDecode] = Field(
        None,
        description="Address of a Qdrant server's gRPC port (6334 when left out), `https` for TLS; "
        "of a cluster those of its nodes, or a name that leads to all. None means embedded, under "
        "the data folder.",
    )
    qdrant_api_key_file: Path | None = Field(
        None, description="File that holds the Qdrant server's key."
    )
    qdrant_ca_file: Path | None = Field(
        None,
        description="File of the certificates, in PEM, that a Qdrant server's is checked by; "
        "none: those that browsers trust.",
    )
    qdrant_read_timeout: int = Field(
        5, gt=0, description="Longest wait for a search in a Qdrant server, in seconds."
    )
    qdrant_write_timeout: int = Field(
        30, gt=0, description="Longest wait for a write to a Qdrant server, in seconds."
    )
    qdrant_shards: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Shards of a new collection; none: as many as the cluster has nodes. This and "
        "the six below are for a Qdrant server, and a collection that is there stays as it is.",
    )
    qdrant_replication_factor: int = Field(
        1, ge=1, le=64, description="Nodes that hold each shard of a new collection."
    )
    qdrant_write_consistency_factor: int = Field(
        1,
        ge=1,
        le=64,
        description="Of these, how many must have taken a write before it counts.",
    )
    qdrant_vectors_on_disk: bool = Field(
        False, description="Whether a new collection's vectors stay on disk, not in memory."
    )
    qdrant_payload_on_disk: bool = Field(
        True, description="Whether a new collection's texts and metadata do."
    )
    qdrant_quantization: Literal["none", "scalar", "binary"] = Field(
        "none",
        description="A smaller copy of a new collection's vectors, in memory, that is searched "
        "first: a byte a number, or a bit.",
    )
    qdrant_oversampling: float = Field(
        3.0,
        ge=1,
        le=20,
        description="How many times the candidates it brings, to be ordered by the whole vectors.",
    )
    collection: str = Field(
        "chunks",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Name of the Qdrant collection. A database is for one collection.",
    )

    metadata_indexes: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")], Kind] = Field(
        {},
        max_length=64,
        description="JSON: metadata keys that a Qdrant server keeps an index of, with the kind of "
        "their values: `keyword`, `number`, `datetime` or `bool`. Filters by other keys work too.",
    )

    chunk_tokens: int = Field(
        240,
        ge=32,
        description="Most tokens of a chunk, counted by the embedding model's tokenizer.",
    )
    chunk_overlap_tokens: int = Field(
        80, ge=0, description="Most tokens of a chunk's end that the next one repeats."
    )
    chunker: str = Field(
        "",
        description="Name of an installed package's entry point in `bulkhead.chunkers` that cuts "
        "texts into chunks; empty: our own.",
    )
    language: str = Field(
        "english", description="Snowball stemmer for sparse terms (a name PyStemmer knows)."
    )
    bm25_k1: float = Field(0.9, ge=0, description="BM25: how soon a repeated term stops to count.")
    bm25_b: float = Field(
        0.4, ge=0, le=1, description="BM25: how much a chunk's length counts against it."
    )
    bm25_average_terms: float = Field(
        140.0, gt=0, description="BM25: length of an average chunk, in terms."
    )
    fusion: Literal["dbsf", "rrf"] = Field(
        "dbsf",
        description="How the two legs are fused: by the distribution of scores, or by ranks.",
    )
    rrf_k: int = Field(
        15, gt=0, description="With `rrf`: smaller favours what either leg ranks first."
    )
    prefetch: int = Field(
        200, ge=1, le=1000, description="Candidates that each leg of a hybrid search brings."
    )

    rewrite: bool = Field(
        False,
        description="Let the model rewrite a question that leans on the turns before it, for the "
        "search. The bundled models take seconds for it.",
    )
    source_tokens: int = Field(
        450,
        ge=1,
        description="Tokens of the chunks put before the model, about: a digit is one, and four "
        "bytes of anything else. A request's top_k shows so many chunks instead.",
    )
    source_relevance: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share of the best chunk's score from which another one is put before the "
        "model, too.",
    )
    top_k: int = Field(12, ge=1, le=100, description="Most chunks put before the model by default.")
    context_tokens: int = Field(
        4096,
        ge=512,
        description="Tokens of prompt and answer together, where the model server does not say.",
    )
    max_answer_tokens: int = Field(
        256, ge=1, description="Tokens an answer may have when the request sets no limit."
    )
    relevance: float = Field(
        0.55,
        ge=-1,
        le=1.5,
        description="What the best chunk's cosine plus half the share of the question's words in "
        "it must reach, or the answer is that nothing was found.",
    )
    relevance_words: float = Field(
        0.4,
        ge=0,
        le=1,
        description="The share of the question's words that must be found in one chunk when the "
        "search went by words alone.",
    )
    support_threshold: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Share of a sentence's weighted terms that its quote must hold.",
    )

    quality_url: HttpUrl | None = Field(
        None,
        description="Address of the quality service. With it a share of the questions, answers "
        "and the chunks shown to the model is sent there; none: nothing is.",
    )
    quality_token_file: Path = Field(
        Path(".data/quality-token"), description="File with the quality service's token."
    )
    quality_share: float = Field(
        0.05, ge=0, le=1, description="Share of the answers that is sent to the quality service."
    )
    quality_queue: int = Field(
        64, ge=1, description="Most answers that wait to be sent there; above it they are dropped."
    )

    tool_policy_file: Path | None = Field(
        None,
        description="The tool policy, with the file of pinned definitions beside it; none means "
        "the packaged one.",
    )
    tool_servers_file: Path | None = Field(
        None,
        description="The list of MCP servers, a YAML file (docs/tools.md); none, or an empty one: "
        "no tool but the search.",
    )

    parser_sockets: Path = Field(
        Path(".data/parser"), description="Folder with the parsers' Unix sockets."
    )
    parser_url: HttpUrl | None = Field(
        None,
        description="Address of the parsers, where they listen on a port (`PARSER_HOST`); none: "
        "their sockets.",
    )
    parser_timeout: float = Field(
        600.0,
        gt=0,
        description="Longest wait for a document's text, in seconds; a parser that is busy with "
        "others makes it wait as well.",
    )
    documents_at_once: int = Field(
        4,
        ge=1,
        le=64,
        description="Documents that are read at once, as far as the parsers have processes free; "
        "of one tenant half of them.",
    )
    chunk_processes: int = Field(
        1, ge=1, le=32, description="Processes that cut texts into chunks."
    )
    max_request_bytes: int = Field(
        2**20,
        gt=0,
        description="Largest request body of every call but `POST /v1/documents`, in bytes; above "
        "it 413.",
    )
    max_document_bytes: int = Field(50 * 2**20, gt=0, description="Largest document, in bytes.")
    cors_origins: str = Field(
        "",
        description="Origins whose pages may call the API from a browser, with commas between:"
        " `https://chat.example`.",
    )
    max_query_characters: int = Field(
        8000, gt=0, description="Longest question or search query, in characters."
    )
    branding_dir: Path | None = Field(
        None,
        description="Folder with own words and looks: `answers.toml`, `page.toml`, a logo, "
        "`languages/`. What is not in it is as packaged; docs/fork.md says more.",
    )
    grafana_url: HttpUrl | None = Field(
        None, description="Address of Grafana, as a browser reaches it; the page links to it."
    )

    def served_hosts(self) -> frozenset[str]:
        """The names in `Host` that are served, in lower case; none means any."""
        named = {name.strip().lower() for name in self.hosts.split(",") if name.strip()}
        if "*" in named or (not named and not _is_loopback(self.host)):
            return frozenset()
        own = f"[{self.host}]" if ":" in self.host else self.host.lower()
        return frozenset(named or {"127.0.0.1", "localhost", "[::1]", own})

    def allowed_origins(self) -> list[str]:
        """The values of `Origin` whose pages may call."""
        return listed(self.cors_origins)

    @field_validator("qdrant_url", mode="before")
    @classmethod
    def _addresses(cls, told: object) -> object:
        if not isinstance(told, str):
            return told
        return [address.strip() for address in told.split(",") if address.strip()] or None

    @field_validator("qdrant_url")
    @classmethod
    def _one_scheme(cls, urls: tuple[HttpUrl, ...] | None) -> tuple[HttpUrl, ...] | None:
        if urls and len({url.scheme for url in urls}) > 1:
            raise ValueError("all nodes are asked with TLS or none is: write https for all")
        return urls

    @model_validator(mode="after")
    def _writes_can_be_taken(self) -> Self:
        if self.qdrant_write_consistency_factor > self.qdrant_replication_factor:
            raise ValueError(
                "RETRIEVER_QDRANT_WRITE_CONSISTENCY_FACTOR is above "
                "RETRIEVER_QDRANT_REPLICATION_FACTOR: no write could be taken"
            )
        return self

    @field_validator("language")
    @classmethod
    def _known(cls, language: str) -> str:
        stemmer(language)
        return language

    @model_validator(mode="after")
    def _without_what_is_left_out(self) -> Self:
        """What does not run is not asked, wherever it would be."""
        if not runs("tools"):
            self.tool_servers_file = None
        if not runs("quality"):
            self.quality_url = None
        if not runs("observability"):
            self.grafana_url = None
        return self

    @model_validator(mode="after")
    def _overlap_is_less_than_a_chunk(self) -> Self:
        if self.chunk_overlap_tokens >= self.chunk_tokens:
            raise ValueError("RETRIEVER_CHUNK_OVERLAP_TOKENS must be below RETRIEVER_CHUNK_TOKENS")
        return self
