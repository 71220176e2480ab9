"""What every service can be told from outside, by environment variables."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class CommonSettings(BaseSettings):
    """Settings that all services have, wherever they listen.

    An empty variable counts as one that is not set: compose files hand on what they were not told.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True)

    moved: ClassVar[dict[str, str]] = {}
    """Variables of earlier releases, and what each is called now."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line that is written."
    )
    max_body_bytes: int = Field(
        64 * 2**20, gt=0, description="Largest request body, in bytes; above it 413."
    )
    max_head_bytes: int = Field(
        32 * 2**10,
        gt=0,
        description="Largest request line and headers together, in bytes; above it 431.",
    )
    head_timeout: float = Field(
        10.0, gt=0, description="Longest time for a request's headers to come in, in seconds."
    )
    body_timeout: float = Field(
        30.0,
        gt=0,
        description="Longest wait for a request's body, in seconds; each 16 KiB of it that came "
        "add one.",
    )
    write_timeout: float = Field(
        30.0,
        gt=0,
        description="Longest time for which a client may leave its reply unread, in seconds.",
    )
    linger_seconds: float = Field(
        0.0,
        ge=0,
        le=60,
        description="After SIGTERM, how long new requests are still served while `/readyz` says "
        "that the process is going: longer than whoever balances takes to see it.",
    )
    drain_seconds: float = Field(
        8.0,
        ge=0,
        le=3600,
        description="After SIGTERM, how long requests under way may go on; then a stream ends "
        "with an error event.",
    )

    @model_validator(mode="after")
    def _linger_is_a_part_of_draining(self) -> Self:
        if self.linger_seconds > self.drain_seconds:
            raise ValueError("LINGER_SECONDS must not be above DRAIN_SECONDS")
        return self


def without_effect(settings: CommonSettings) -> Iterator[str]:
    """What the environment tells the service that is no setting of it, in words for its operator.

    Variables with the service's prefix count; `moved` says what became of old ones.
    """
    prefix = str(settings.model_config.get("env_prefix") or "").upper()
    known = {f"{prefix}{name}".upper() for name in type(settings).model_fields}
    told = {name.upper() for name in os.environ}
    for name in sorted(name for name in told - known if prefix and name.startswith(prefix)):
        now = settings.moved.get(name)
        yield f"{name} has no effect: " + (f"it is {now} now" if now else "no such setting")


class ServiceSettings(CommonSettings):
    """Settings of a service on a port. A service subclasses this with its own prefix."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(ge=0, le=65535, description="Port to listen on.")


def read_secret(path: Path) -> str:
    """The secret in `path`, without surrounding white space.

    Raises `ValueError`, naming the file and never its content, when it is missing or empty.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot read the secret file {path.name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"the secret file {path.name} is not text") from error
    if not secret:
        raise ValueError(f"the secret file {path.name} is empty")
    return secret


def make_secret(path: Path, secret: str) -> None:
    """Put `secret` into a new file that its owner alone may read.

    At no moment is there a file without all of it, whatever ends the process. Raises
    `FileExistsError`, and changes nothing, when there is one; folders above are made, mode 0700.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secret)
            file.flush()
            os.fsync(handle)
        os.link(new, path)
    finally:
        Path(new).unlink()
