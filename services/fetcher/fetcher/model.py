"""Which model is wanted, for whom, and where it lies."""

import re
from dataclasses import dataclass
from pathlib import PurePath

from fetcher.catalogue import CATALOGUE, File


class FetchError(Exception):
    """Why a model is not there: one line that says what to do about it."""


class Unavailable(FetchError):
    """The source does not have the model or is not reached; another one may."""


@dataclass(frozen=True)
class Model:
    """A model at a revision; `role` is what a service finds it under: /models/ROLE.

    `file` is the one file of the repository that is wanted; without it, all weights in safetensors.
    `known` says what that file is made of, before anyone is asked.
    """

    role: str
    name: str
    revision: str
    file: str | None = None
    known: File | None = None

    @classmethod
    def named(
        cls, role: str, name: str, revision: str | None = None, file: str | None = None
    ) -> "Model":
        """Checked. Raises `ValueError`: a revision that can move is no pin."""
        setting = role.upper()
        if known := CATALOGUE.get(name) if role == "llm" else None:
            return cls(role, known.repository, known.revision, known.name, known)
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII) or ".." in name:
            ours = f", or one of {', '.join(CATALOGUE)}" if role == "llm" else ""
            raise ValueError(f"{setting}_MODEL is the hub's OWNER/NAME{ours}, not {name[:100]!r}")
        if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
            raise ValueError(
                f"{setting}_REVISION must be the commit of {name}, 40 hex digits:"
                " its page on the hub shows it under 'Files'"
            )
        if file is not None and not re.fullmatch(r"[\w.-]+\.gguf", file, re.ASCII):
            raise ValueError(f"{setting}_GGUF is a file of {name} that ends in .gguf")
        return cls(role, name, revision, file)

    @property
    def folder(self) -> str:
        """The folder of this model at this revision, beside which others can lie."""
        name = PurePath(self.file).stem if self.file else self.name.replace("/", "--")
        return f"{name}@{self.revision[:12]}"

    def __str__(self) -> str:
        return f"{self.file or self.name} at {self.revision[:12]}"
