"""What the model fetcher can be told, by environment variables named `FETCHER_…`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from fetcher.model import Model


class FetcherSettings(BaseSettings):
    """The settings; an empty variable counts as one that is not set."""

    model_config = SettingsConfigDict(env_prefix="FETCHER_", extra="ignore", env_ignore_empty=True)

    folder: Path = Field(description="Folder that the models are brought to.")
    bundle: Path = Field(description="Folder of the models inside the image.")
    hub: str | None = Field(None, description="Address of the model hub; the public one if unset.")
    token_file: Path | None = Field(
        None, description="File with a token of the hub, for models that ask for one; may be empty."
    )
    llm_model: str | None = Field(None, description="The model server's model, by its hub name.")
    llm_revision: str | None = Field(
        None, description="Its commit, 40 hex digits; `bundled`: the one inside the image."
    )
    embedding_model: str | None = Field(
        None, description="A sentence-transformers model to use instead of the bundled one."
    )
    embedding_revision: str | None = Field(None, description="Its commit, 40 hex digits.")
    reranker_model: str | None = Field(None, description="A cross-encoder to rerank with.")
    reranker_revision: str | None = Field(None, description="Its commit, 40 hex digits.")

    def wanted(self) -> list[Model]:
        """The models that are to be there. Raises `ValueError` for one without a revision."""
        asked = {
            "llm": (self.llm_model, self.llm_revision),
            "embedding": (self.embedding_model, self.embedding_revision),
            "reranker": (self.reranker_model, self.reranker_revision),
        }
        return [
            Model.named(role, name, revision) for role, (name, revision) in asked.items() if name
        ]

    def token(self) -> str | None:
        """The hub's token, if there is one. Raises `OSError`."""
        text = self.token_file.read_text(encoding="utf-8").strip() if self.token_file else ""
        return text or None
