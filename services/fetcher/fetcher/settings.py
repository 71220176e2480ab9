"""What the model fetcher can be told, by environment variables named `FETCHER_…`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from fetcher.catalogue import CATALOGUE
from fetcher.model import Model


class FetcherSettings(BaseSettings):
    """The settings; an empty variable counts as one that is not set."""

    model_config = SettingsConfigDict(env_prefix="FETCHER_", extra="ignore", env_ignore_empty=True)

    folder: Path = Field(description="Folder that the models are brought to.")
    hub: str | None = Field(None, description="Address of the model hub; the public one if unset.")
    token_file: Path | None = Field(
        None, description="File with a token of the hub, for models that ask for one; may be empty."
    )
    llm_model: str | None = Field(
        None,
        description="The model server's model: one that is known by its digest, as "
        f"{' or '.join(f'`{name}`' for name in CATALOGUE)}, or any by its hub name.",
    )
    llm_revision: str | None = Field(
        None, description="The commit of one by its hub name, 40 hex digits."
    )
    llm_gguf: str | None = Field(
        None, description="The one GGUF file to take of it, for llama.cpp; none: safetensors."
    )
    llm_file: Path | None = Field(
        None,
        description="A file on this machine that holds a model known by its digest: it is used "
        "where it lies, and nothing is fetched.",
    )
    embedding_model: str | None = Field(
        None, description="A sentence-transformers model to use instead of the bundled one."
    )
    embedding_revision: str | None = Field(None, description="Its commit, 40 hex digits.")
    reranker_model: str | None = Field(None, description="A cross-encoder to rerank with.")
    reranker_revision: str | None = Field(None, description="Its commit, 40 hex digits.")

    def wanted(self) -> list[Model]:
        """The models that are to be there.

        Raises `ValueError` for one without a revision, and for a file of one that has no digest.
        """
        asked = (
            ("llm", self.llm_model, self.llm_revision, self.llm_gguf),
            ("embedding", self.embedding_model, self.embedding_revision, None),
            ("reranker", self.reranker_model, self.reranker_revision, None),
        )
        models = [
            Model.named(role, name, revision, file) for role, name, revision, file in asked if name
        ]
        # In a container without such a file, it is /dev/null.
        if self.llm_file and not self.llm_file.is_char_device():
            for model in models:
                if model.role == "llm" and model.known is None:
                    raise ValueError(
                        f"LLM_FILE holds a model that one word names ({', '.join(CATALOGUE)}), and"
                        f" LLM_MODEL names {model.name} of the hub, which the file cannot be"
                        " compared with: leave out one of the two"
                    )
        return models

    def token(self) -> str | None:
        """The hub's token, if there is one. Raises `OSError`."""
        text = self.token_file.read_text(encoding="utf-8").strip() if self.token_file else ""
        return text or None
