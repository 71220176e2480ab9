"""Which model is wanted, for whom, and where it lies."""

import re
from dataclasses import dataclass

BUNDLED = "bundled"


class FetchError(Exception):
    """Why a model is not there: one line that says what to do about it."""


@dataclass(frozen=True)
class Model:
    """A model at a revision; `role` is what a service finds it under: /models/ROLE."""

    role: str
    name: str
    revision: str

    @classmethod
    def named(cls, role: str, name: str, revision: str | None) -> "Model":
        """Checked. Raises `ValueError`: a revision that can move is no pin."""
        setting = role.upper()
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII) or ".." in name:
            raise ValueError(f"{setting}_MODEL is the hub's OWNER/NAME, not {name[:100]!r}")
        if revision is None or not re.fullmatch(rf"[0-9a-f]{{40}}|{BUNDLED}", revision):
            raise ValueError(
                f"{setting}_REVISION must be the commit of {name}, 40 hex digits:"
                " its page on the hub shows it under 'Files'"
            )
        return cls(role, name, revision)

    @property
    def folder(self) -> str:
        """The folder of this model at this revision, beside which others can lie."""
        return f"{self.name.replace('/', '--')}@{self.revision[:12]}"

    def __str__(self) -> str:
        return f"{self.name} at {self.revision[:12]}"
