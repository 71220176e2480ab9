"""Model servers as settings name them: one address, or a list of servers, in order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl


class ModelServer(BaseModel):
    """An OpenAI-compatible server, the file of its key, and the model to ask it for."""

    model_config = ConfigDict(extra="forbid")

    url: HttpUrl
    api_key_file: Path | None = None
    model: str = ""


ModelServers = HttpUrl | Annotated[list[ModelServer], Field(min_length=1, max_length=8)]
"""An address, or JSON: `[{"url": "…/v1", "api_key_file": "…", "model": "…"}, …]`."""


def in_order(
    told: HttpUrl | Sequence[ModelServer], api_key_file: Path | None, model: str
) -> list[ModelServer]:
    """The servers, the first to be asked first.

    `api_key_file` and `model` belong to the one address: no key goes to a server that it was not
    given for. Raises `ValueError` where they stand beside a list.
    """
    if not isinstance(told, Sequence):
        return [ModelServer(url=told, api_key_file=api_key_file, model=model)]
    if api_key_file is not None or model:
        raise ValueError("in a list of model servers each has its own api_key_file and model")
    return list(told)
