"""What the quality service can be told, by environment variables named `QUALITY_…`."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, HttpUrl, model_validator
from pydantic_settings import SettingsConfigDict

from bulkhead.model_servers import ModelServer, ModelServers, in_order
from bulkhead.settings import ServiceSettings


def _bundled_canaries() -> Path:
    return Path(__file__).with_name("canaries.json")


class QualitySettings(ServiceSettings):
    """The settings; the defaults probe the embedded mode on loopback."""

    model_config = SettingsConfigDict(env_prefix="QUALITY_", extra="ignore")

    port: int = Field(8082, ge=0, le=65535, description="Port to listen on.")
    max_body_bytes: int = Field(
        2**20, gt=0, description="Largest request body, in bytes; above it 413."
    )
    token_file: Path = Field(
        Path(".data/quality-token"),
        description="File with the token that the retriever sends with answers to evaluate.",
    )

    retriever_url: HttpUrl = Field(
        HttpUrl("http://127.0.0.1:8080"), description="Address of the retriever to probe."
    )
    api_key_file: Path = Field(
        Path(".data/api-key"),
        description="File with the key that the canaries are asked with; a reader's is enough.",
    )
    canaries: Path = Field(
        default_factory=_bundled_canaries,
        description="File of labelled questions, in JSON.",
    )
    canary_seconds: float = Field(60.0, gt=0, description="Time from one round to the next.")
    canary_timeout: float = Field(30.0, gt=0, description="Longest wait for a canary, in seconds.")
    canary_k: int = Field(
        5, ge=1, le=10, description="A canary is hit when its passage is among the first k of 10."
    )

    queue_answers: int = Field(
        64, ge=1, description="Most answers that wait for one evaluator; above it they are dropped."
    )
    detector: Literal["none", "hhem", "lettucedetect"] = Field(
        "none", description="Encoder that scores every answer handed in; its weights are yours."
    )
    detector_path: Path | None = Field(None, description="Folder with the detector's weights.")
    detector_tokens: int = Field(
        2048,
        ge=64,
        description="Most tokens that the detector reads, sources included; longer is unscored.",
    )
    detector_threads: int = Field(1, ge=1, description="Threads that the detector computes with.")
    threshold: float = Field(
        0.5, ge=0, le=1, description="The detector's score from which an answer is supported."
    )
    judge_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the answers handed in that the main model judges, where it may.",
    )
    judge_threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The judge's score from which an answer is supported, for a model of yours; "
        "without it only a model that was found good enough judges, by its own.",
    )
    llm_url: ModelServers = Field(
        HttpUrl("http://127.0.0.1:8000/v1"),
        description="Address of the model that judges, or JSON, servers in order, as in"
        " `RETRIEVER_LLM_URL`.",
    )
    llm_api_key_file: Path | None = Field(
        None, description="File that holds the model server's key, if it asks for one."
    )
    judge_timeout: float = Field(60.0, gt=0, description="Longest wait for a judgement, seconds.")

    def model_servers(self) -> list[ModelServer]:
        """Those that judge, in the order in which they are asked."""
        return in_order(self.llm_url, self.llm_api_key_file, "")

    @model_validator(mode="after")
    def _each_server_has_its_own_key(self) -> Self:
        self.model_servers()
        return self

    @model_validator(mode="after")
    def _a_detector_has_weights(self) -> Self:
        if self.detector != "none" and self.detector_path is None:
            raise ValueError("QUALITY_DETECTOR needs QUALITY_DETECTOR_PATH")
        return self
