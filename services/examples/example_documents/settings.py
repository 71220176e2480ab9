"""What the examples can be told, by environment variables named `EXAMPLES_…`."""

from pathlib import Path

from pydantic import Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict


class ExamplesSettings(BaseSettings):
    """The settings; an empty variable counts as one that is not set."""

    model_config = SettingsConfigDict(env_prefix="EXAMPLES_", extra="ignore", env_ignore_empty=True)

    wanted: bool = Field(True, description="Whether to take the documents in.")
    folder: Path = Field(description="Folder of the documents; a path below it is a source.")
    retriever_url: HttpUrl = Field(description="Address of the retriever.")
    api_key_file: Path = Field(
        description="File with the operator's key: it alone sees whether people have made keys."
    )
    page_url: HttpUrl | None = Field(
        None,
        description="Address of the page, for a person's browser; none: where to look and with "
        "which key is not told.",
    )
    grafana_url: HttpUrl | None = Field(
        None, description="Address of Grafana, for a person's browser."
    )
    profiles: str = Field(
        "",
        description="Profiles of the stack, with commas between: without `observability` there"
        " is no Grafana to tell of. Empty: all.",
    )
    patience: float = Field(
        900.0, gt=0, description="Longest wait for the documents, and for every part, in seconds."
    )

    def observed(self) -> bool:
        """Whether Grafana runs, and where is known."""
        if self.grafana_url is None:
            return False
        told = {name.strip() for name in self.profiles.split(",") if name.strip()}
        return not told or bool(told & {"observability", "*"})
