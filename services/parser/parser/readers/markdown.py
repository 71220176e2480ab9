"""Markdown: as it is, but for front matter, which gives title and metadata, and data URIs."""

import math
import re
import tomllib
from datetime import date
from typing import Any

import yaml

from parser.charset import decode
from parser.model import Extracted, Metadata, Reading

_FRONT = re.compile(
    r"\ufeff?(?P<mark>---|\+\+\+)[ \t]*\r?\n(?P<body>.*?)^(?P=mark)[ \t]*(?:\r?\n|\Z)\s*",
    re.DOTALL | re.MULTILINE,
)
_LONGEST_FRONT = 64 * 1024
# The picture itself, in base64 or percent escapes: to a reader of text it is noise.
_DATA = re.compile(r"(data:[\w.+-]+/[\w.+-]+)(?:;[\w=.+-]+)*,[A-Za-z0-9+/=_%-]{64,}")
_KEY = re.compile(r"[^A-Za-z0-9_-]+")
_MOST_KEYS = 32
_LONGEST_VALUE = 1000


def extract(data: bytes, reading: Reading) -> Extracted:
    """Read Markdown. Raises ParseError `unsupported` for binary content."""
    return read(decode(data, reading, reading.charset))


def read(text: str) -> Extracted:
    """Read Markdown as text."""
    found: dict[str, Any] = {}
    front = _FRONT.match(text[:_LONGEST_FRONT])
    if front is not None and (loaded := _loaded(front["mark"], front["body"])):
        found, text = loaded, text[front.end() :]
    title = found.pop("title", None)
    return Extracted(
        _DATA.sub(r"\1", text),
        str(title) if isinstance(title, str | int | float | date) else None,
        metadata=flattened(found),
    )


def _loaded(mark: str, body: str) -> dict[str, Any]:
    """The front matter's fields; none where it is no front matter, as between two rules."""
    try:
        loaded = tomllib.loads(body) if mark == "+++" else yaml.safe_load(body)
    except (yaml.YAMLError, tomllib.TOMLDecodeError, ValueError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def flattened(fields: dict[Any, Any]) -> Metadata:
    """Fields of a document as metadata: lists joined by commas, what is nested left out."""
    found: Metadata = {}
    for name, value in fields.items():
        key = _KEY.sub("_", str(name)).strip("_")[:64]
        if not key or len(found) == _MOST_KEYS:
            continue
        if isinstance(value, list):
            value = ", ".join(
                str(one) for one in value if isinstance(one, str | int | float | date)
            )
        if isinstance(value, date):
            value = value.isoformat()
        if isinstance(value, str):
            value = " ".join(value.split())[:_LONGEST_VALUE]
        if isinstance(value, float) and not math.isfinite(value):
            continue
        if (
            isinstance(value, bool | float)
            or (isinstance(value, int) and abs(value) < 2**53)
            or (isinstance(value, str) and value)
        ):
            found[key] = value
    return found
