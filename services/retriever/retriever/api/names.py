"""What clients call files and texts: one name, however it is encoded, and no tool's."""

import re
import unicodedata
from contextlib import suppress
from email.errors import HeaderParseError
from email.header import decode_header, make_header

from aiohttp import content_disposition_filename, parse_content_disposition
from starlette.datastructures import UploadFile

from bulkhead.errors import InvalidValue

_WORD = r"=\?[\w.:*-]+\?[bq]\?[^?\s]+\?="
_ENCODED_WORDS = re.compile(rf"{_WORD}(\s+{_WORD})*", re.IGNORECASE)


def named(source: str) -> str:
    """The name in Unicode's composed form: file systems decompose what keyboards compose."""
    return unicodedata.normalize("NFC", source)


def filename(upload: UploadFile) -> str:
    """A file's name: by `filename*` (RFC 5987) where the part has one, else by `filename`.

    That one may be in encoded words (RFC 2047), as mail programs write it.
    """
    disposition = upload.headers.get("content-disposition", "")
    parameters = parse_content_disposition(disposition)[1]
    extended = {key: value for key, value in parameters.items() if "*" in key}
    name = (content_disposition_filename(extended) or upload.filename or "").strip()
    if _ENCODED_WORDS.fullmatch(name):
        with suppress(HeaderParseError, LookupError, ValueError):  # it only looks encoded
            name = str(make_header(decode_header(name))).strip() or name
    return named(name)


def refuse_tools(source: str, field: str) -> None:
    """Raises `InvalidValue` for what reads `tool:…`: so citations name what a tool brought."""
    shown = unicodedata.normalize("NFKC", source)
    seen = "".join(c for c in shown if not c.isspace() and unicodedata.category(c)[0] != "C")
    if seen.casefold().startswith("tool:"):
        raise InvalidValue(f"{field}: no source begins with 'tool:', which names a tool's result")
