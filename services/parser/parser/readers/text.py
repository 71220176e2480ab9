"""Plain text: as it is, but for the colours of a terminal."""

import re

from parser.charset import decode
from parser.model import Extracted, Reading

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""A terminal's codes, as in logs: they join the word that they colour."""


def extract(data: bytes, reading: Reading) -> Extracted:
    """Decode a text file. Raises ParseError `unsupported` for binary content."""
    return Extracted(_COLOURS.sub("", decode(data, reading, reading.charset)))
