"""Plain text: as it is."""

from parser.charset import decode
from parser.model import Extracted, Reading


def extract(data: bytes, reading: Reading) -> Extracted:
    """Decode a text file. Raises ParseError `unsupported` for binary content."""
    return Extracted(decode(data, reading, reading.charset))
