"""What a release is: the commit, and each image by its digest."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

_REFERENCE = re.compile(r"[a-z0-9.:-]+(/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}")


class ManifestError(ValueError):
    """A file that is no release."""


@dataclass(frozen=True)
class Release:
    """`release.json`."""

    version: str
    commit: str
    images: dict[str, str]
    """By part, its reference with a digest: `ghcr.io/owner/bulkhead/retriever@sha256:…`."""
    chart: str = ""
    """The chart's reference with a digest, once it was pushed."""

    def __post_init__(self) -> None:
        chart = {"chart": self.chart} if self.chart else {}
        for part, reference in (self.images | chart).items():
            if not _REFERENCE.fullmatch(reference):
                raise ManifestError(f"{part}: {reference!r} is nothing with a digest")
        if not self.images:
            raise ManifestError("no image is in it")

    @classmethod
    def load(cls, path: Path) -> "Release":
        """Raises `ManifestError`."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ManifestError(f"{path}: {error}") from error

    def save(self, path: Path) -> None:
        """Write it, for people to read too."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
