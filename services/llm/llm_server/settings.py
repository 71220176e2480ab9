"""What the model server can be told, by environment variables named `LLM_…`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from llm_server.cores import cores


class LLMSettings(BaseSettings):
    """The settings; an empty variable counts as one that is not set."""

    model_config = SettingsConfigDict(env_prefix="LLM_", extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    model_path: Path = Field(description="A model in GGUF form, or a folder with one in it.")
    alias: str | None = Field(
        None, description="Name that the model is served under; none: its file's."
    )
    context_tokens: int = Field(
        8192, ge=512, description="Tokens of prompt and answer together, for each request."
    )
    parallel: int = Field(2, ge=1, le=64, description="Requests answered at the same time.")
    threads: int = Field(
        default_factory=cores,
        ge=1,
        description="Threads that read a prompt, and one more than write; by default the cores "
        "that the system lets it use.",
    )
    api_key_file: Path | None = Field(
        None,
        description="File with the key that whoever asks must send, as a bearer token; none: anyone"
        " may ask. `/health` needs none.",
    )
    prompt_cache_mib: int = Field(
        256, ge=0, description="Memory for the states of earlier prompts, in MiB."
    )

    @property
    def api_key(self) -> str:
        """The key; empty where none is asked for. Raises `OSError` where the file has none."""
        if self.api_key_file is None:
            return ""
        try:
            key = self.api_key_file.read_text(encoding="ascii").strip()
        except UnicodeDecodeError:
            key = ""
        if not key or "," in key:
            raise OSError(f"the key file {self.api_key_file.name} holds no key")
        return key

    @property
    def model(self) -> Path:
        """The file: of a model in several files the first. Raises `FileNotFoundError`."""
        if self.model_path.is_file():
            return self.model_path
        files = sorted(self.model_path.glob("*.gguf"))
        if not files:
            raise FileNotFoundError(f"there is no model {self.model_path.name} in GGUF form")
        return files[0]
