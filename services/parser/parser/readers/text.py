"""Bytes to text, or a refusal.

The rule, in order: a byte order mark decides; bytes that are valid UTF-8 are text and keep their
NULs, unless 3 in 10 of them are control characters; other bytes with a NUL are binary; what is left
is decoded with the declared encoding or else as charset-normalizer guesses, unless 1 in 20 bytes is
a control character.
"""

import codecs
import re
from contextlib import suppress

from charset_normalizer import from_bytes

from parser.model import ParseError

_MARKS = (  # UTF-32 first: its mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
_SURROGATES = re.compile("[\ud800-\udfff]")
_HIGH = bytes(range(128, 256))
# Fewer accented letters than this tell nothing ("caf\xe9" alone could be Korean): then it is
# Windows-1252, as browsers assume.
_FEW = 16
_SAMPLE_BYTES = 64 * 1024  # enough to tell an encoding, small enough to do so in milliseconds


def without_surrogates(text: str) -> str:
    """`text` with U+FFFD for every lone surrogate, which UTF-8 cannot carry; offsets keep."""
    return _SURROGATES.sub("\ufffd", text)


def decode(data: bytes, declared: str | None = None) -> str:
    """Decode a text file; `declared` is an encoding the file itself names.

    Raises ParseError `unsupported` for binary content and `invalid` for bytes that break their
    encoding.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_as(data[len(mark) :], encoding)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _decode_legacy(data, declared, error.start)
    if _control_share(data) > 0.3:
        raise ParseError(
            "unsupported", "The file is binary: most of it is control characters, not text."
        )
    return text


def _decode_legacy(data: bytes, declared: str | None, first: int) -> str:
    """Decode bytes that are not UTF-8 from the byte at `first` on."""
    if b"\0" in data or _control_share(data) > 0.05:
        raise ParseError(
            "unsupported",
            "The file is binary data of a kind that is not read here, or UTF-16 without a mark.",
        )
    if declared is not None:
        # Bytes that break a declared encoding are replaced, as browsers do; a name that is none
        # says nothing, and the encoding is guessed.
        with suppress(LookupError, UnicodeError):
            return without_surrogates(data.decode(declared, "replace"))
    letters = len(data) - len(data.translate(None, _HIGH))
    if letters < _FEW and letters * 3 <= len(data):
        with suppress(UnicodeDecodeError):  # a byte it lacks: then it is not
            return data.decode("cp1252")
    start = max(0, first - _SAMPLE_BYTES // 8)
    best = from_bytes(data[start : start + _SAMPLE_BYTES]).best()
    if best is None:
        raise ParseError(
            "unsupported", "The file is neither text in a known encoding nor a known format."
        )
    return _decode_as(data, best.encoding)


def _decode_as(data: bytes, encoding: str) -> str:
    try:
        return without_surrogates(data.decode(encoding))
    except UnicodeDecodeError as error:
        raise ParseError(
            "invalid",
            f"The text is not valid {error.encoding}: byte {error.start:,} breaks it."
            " Save it as UTF-8.",
        ) from error


def _control_share(data: bytes) -> float:
    return 1 - len(data.translate(None, _CONTROLS)) / len(data) if data else 0.0
