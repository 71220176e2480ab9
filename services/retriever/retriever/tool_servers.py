"""The list of tool servers: a YAML file with a name, an address and a way to log in for each.

Ours and those of others stand in it alike. docs/tools.md shows each kind.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    ValidationError,
    field_validator,
    model_validator,
)

from retriever.agent.policy import SEPARATOR, Name

_MOST_BYTES = 2**20
SEARCH_SERVER = "retriever"
"""The name under which the retriever's own search stands in the policy; no other may have it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Signed(_Strict):
    """A token that we sign for each call; it names the caller, and lives for a minute."""

    type: Literal["signed"]
    key_file: Path


class Open(_Strict):
    """The server asks for nothing."""

    type: Literal["none"]


class Bearer(_Strict):
    """The same token for every call; it is read at start."""

    type: Literal["bearer"]
    token_file: Path


class ClientCredentials(_Strict):
    """OAuth 2: a token from the issuer's token endpoint, which the issuer's metadata name."""

    type: Literal["client_credentials"]
    issuer: str = Field(pattern=r"^https?://[^\s/]+(/\S*)?$")
    client_id: str = Field(min_length=1)
    client_secret_file: Path
    token_url: str | None = Field(None, pattern=r"^https?://[^\s/]+(/\S*)?$")
    """The token endpoint, where it lies at another address than the issuer."""
    scope: str | None = None


Auth = Annotated[Signed | Open | Bearer | ClientCredentials, Field(discriminator="type")]


class ServerEntry(_Strict):
    """One tool server."""

    name: Name
    url: HttpUrl
    """Of its MCP endpoint: streamable HTTP."""
    socket: Path | None = None
    """A Unix socket to reach it by; the address then names the `Host` alone."""
    auth: Auth
    trusted: bool = False
    """Its descriptions are ours: else the model is told that they are not, and they are cut."""

    @field_validator("url", mode="before")
    @classmethod
    def _filled_in(cls, told: Any) -> Any:
        """`${NAME}` is a variable: where no name is looked up, the environment has the address."""
        return re.sub(r"\$\{(\w+)\}", _variable, told) if isinstance(told, str) else told

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if SEPARATOR in self.name:
            raise ValueError(f"the name {self.name!r} may not hold {SEPARATOR!r}")
        if self.name == SEARCH_SERVER:
            raise ValueError(f"the name {self.name!r} is the retriever's own")
        if self.socket is not None and isinstance(self.auth, ClientCredentials):
            raise ValueError(f"{self.name}: client_credentials cannot go by a socket")
        return self


def _variable(match: re.Match[str]) -> str:
    if value := os.environ.get(match[1]):
        return value
    raise ValueError(f"the environment has no {match[1]}")


class _File(_Strict):
    servers: list[ServerEntry]

    @model_validator(mode="after")
    def _names_are_clear(self) -> Self:
        names = [one.name for one in self.servers]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"named twice: {', '.join(sorted(twice))}")
        return self


def read_tool_servers(path: Path | None) -> tuple[ServerEntry, ...]:
    """The servers of the list in `path`; none where there is no list or it is empty.

    Relative paths in it are taken from its own folder. Raises `ValueError`, in words.
    """
    if path is None:
        return ()
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"the list of tool servers {path.name} is larger than a mebibyte")
        told = yaml.safe_load(text)
        found = _File.model_validate({"servers": []} if told is None else told)
    except OSError as error:
        raise ValueError(
            f"cannot read the list of tool servers {path.name}: {error.strerror}"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the list of tool servers {path.name} is not YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}"
            for one in error.errors()[:5]
        )
        raise ValueError(f"the list of tool servers {path.name} is wrong: {problems}") from error
    return tuple(_from(path.absolute().parent, one) for one in found.servers)


def _from(folder: Path, entry: ServerEntry) -> ServerEntry:
    """The entry with each of its paths taken from `folder`."""
    files = {name: folder / value for name, value in entry.auth if isinstance(value, Path)}
    auth = entry.auth.model_copy(update=files)
    socket = folder / entry.socket if entry.socket else None
    return entry.model_copy(update={"auth": auth, "socket": socket})
