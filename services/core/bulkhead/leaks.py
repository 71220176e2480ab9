"""Secrets in text, found by shape or because we hold them: kept from tools, models and logs."""

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote

_SHAPES = {
    "bulkhead key": r"bh_[A-Za-z0-9_-]{16,}",
    # Up to the next one that begins: each place of a text is looked at for one key.
    "private key": r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
    r"(?:(?:(?!-----BEGIN )[\s\S]){0,8000}?-----END [A-Z ]{0,30}PRIVATE KEY-----)?",
    "AWS key": r"\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}\b",
    "AWS secret": r"(?i:aws.{0,20}secret.{0,20}?)[=:\"'\s]{1,5}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
    # From the beginning of a run of its characters, so that no run is looked at twice.
    "JSON web token": r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{11,}+"
    r"\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}",
    "API key": r"\b(?:sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{40,}"
    r"|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{35})",
}
_SHORTEST = 12
"""Characters below which a known secret is not looked for: it would be found everywhere."""


class SecretScanner:
    """Finds secrets in text. It says of what kind, never which."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        """`known` are secrets of this process; they are also found in base64, hex and URLs."""
        spellings = sorted(
            {form for secret in known if len(secret) >= _SHORTEST for form in _spellings(secret)},
            key=len,
            reverse=True,
        )
        shapes = [f"(?P<k{n}>{shape})" for n, shape in enumerate(_SHAPES.values())]
        if spellings:
            shapes.insert(0, f"(?P<known>{'|'.join(map(re.escape, spellings))})")
        self._pattern = re.compile("|".join(shapes))
        self._kinds = {f"k{n}": kind for n, kind in enumerate(_SHAPES)} | {
            "known": "a secret of this service"
        }

    def find(self, text: str) -> str:
        """The kind of the first secret in `text`; empty when there is none."""
        found = self._pattern.search(text)
        return self._kinds[found.lastgroup or ""] if found else ""

    def redact(self, text: str) -> str:
        """`text` with the kind of each secret in its place."""
        return self._pattern.sub(
            lambda found: f"[{self._kinds[found.lastgroup or '']} removed]", text
        )


def _spellings(secret: str) -> set[str]:
    """How a secret may be written: as it is, backwards, in hex, in a URL, in base64 at any place of
    a longer text."""
    raw = secret.encode()
    forms = {secret, secret[::-1], raw.hex(), raw.hex().upper(), quote(secret, safe="")}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        # The first and last characters depend on what stands around the secret.
        inner = encoded[(0, 2, 3)[shift] : len(encoded) - 1]
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return forms
