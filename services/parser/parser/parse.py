"""Documents to text.

A file is what its content says; the name's extension, then the media type, decide only between
kinds of text. Nothing here limits time or memory: run it in `parser.pool`, which does.
"""

from pathlib import PurePosixPath

from parser.markdown import headings
from parser.model import Extracted, Parsed, ParseError, ParseLimits
from parser.readers import docx, html, pdf
from parser.readers.text import decode, without_surrogates
from parser.sniff import DOCX, HTML, MARKDOWN, PDF, sniff

VERSION = "1"
"""Of all that decides which text a document gives: another one says that it may be another."""

MAX_TITLE_CHARACTERS = 300

_MARKED_UP = frozenset((MARKDOWN, HTML, DOCX))
_READERS = {PDF: pdf.extract, DOCX: docx.extract, HTML: html.extract}


def parse(data: bytes, filename: str, media_type: str | None, limits: ParseLimits) -> Parsed:
    """Extract a document's text and title.

    `filename` may hold a relative path; only its last part is used. Raises ParseError for anything
    unreadable.
    """
    limits.check_bytes(len(data))
    if not data:
        raise ParseError("empty", "The file is empty.")
    kind = sniff(data, filename, media_type)
    reader = _READERS.get(kind)
    extracted = reader(data, limits) if reader else Extracted(decode(data))
    limits.check_characters(len(extracted.text))
    if not extracted.text.strip():
        raise ParseError("empty", "The document holds no text.")
    marks = tuple(headings(extracted.text)) if kind in _MARKED_UP else ()
    stem = PurePosixPath(filename.replace("\\", "/")).stem
    title = (
        _one_line(extracted.title)
        or (marks[0].words if marks else "")
        or _one_line(stem)
        or "Untitled"
    )
    return Parsed(extracted.text, title, kind, extracted.pages, kind in _MARKED_UP, marks)


def _one_line(title: str | None) -> str:
    printable = "".join(c if c.isprintable() else " " for c in without_surrogates(title or ""))
    return " ".join(printable.split())[:MAX_TITLE_CHARACTERS].rstrip()
