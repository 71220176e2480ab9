"""Documents to text.

A file is what its content says; the name's extension, then the media type, decide only between
kinds of text. Nothing here limits time or memory: run it in `parser.pool`, which does.
"""

from collections.abc import Callable
from email.message import Message
from pathlib import PurePosixPath

from parser import sniff
from parser.charset import without_surrogates
from parser.markdown import headings
from parser.model import Extracted, Ocr, Parsed, ParseError, ParseLimits, Reading
from parser.readers import (
    csv,
    docx,
    eml,
    epub,
    html,
    image,
    ipynb,
    markdown,
    pdf,
    pptx,
    text,
    xlsx,
)
from parser.titles import chosen

VERSION = "3"
"""Of the readers: with another one the same bytes may give another text."""

MAX_TITLE_CHARACTERS = 300

_AS_IT_IS = frozenset((sniff.TEXT,))
"""Kinds whose marks are not Markdown's."""


def version(ocr: Ocr) -> str:
    """Of all that decides which text a document gives."""
    return "+".join(filter(None, (VERSION, str(ocr))))


def parse(
    data: bytes,
    filename: str,
    media_type: str | None,
    limits: ParseLimits,
    ocr: Ocr | None = None,
) -> Parsed:
    """Extract a document's text and title.

    `filename` may hold a relative path; only its last part is used. `media_type` may hold a
    `charset`. Raises ParseError for anything unreadable.
    """
    reading = Reading(limits, filename, charset(media_type), ocr or Ocr())
    kind, extracted = read(data, media_type, reading)
    limits.check_characters(len(extracted.text))
    if not extracted.text.strip():
        raise ParseError("empty", "The document holds no text.")
    marked_up = kind not in _AS_IT_IS
    marks = tuple(headings(extracted.text)) if marked_up else ()
    stem = PurePosixPath(filename.replace("\\", "/")).stem
    title = (
        _one_line(chosen(extracted.title))
        or (marks[0].words if marks else "")
        or _one_line(stem)
        or "Untitled"
    )
    return Parsed(
        extracted.text, title, kind, extracted.pages, marked_up, marks, extracted.metadata,
        tuple(reading.warnings),
    )  # fmt: skip


def read(data: bytes, media_type: str | None, reading: Reading) -> tuple[str, Extracted]:
    """Which kind a file is, and what its reader finds in it."""
    reading.limits.check_bytes(len(data))
    if not data:
        raise ParseError("empty", "The file is empty.")
    kind = sniff.sniff(data, reading.name, media_type)
    return kind, _READERS[kind](data, reading)


def charset(media_type: str | None) -> str | None:
    """The `charset` that a media type declares."""
    message = Message()
    message["content-type"] = media_type or ""
    return message.get_content_charset()


_READERS: dict[str, Callable[[bytes, Reading], Extracted]] = {
    sniff.TEXT: text.extract,
    sniff.MARKDOWN: markdown.extract,
    sniff.HTML: html.extract,
    sniff.CSV: csv.extract,
    sniff.TSV: csv.extract,
    sniff.NOTEBOOK: ipynb.extract,
    sniff.MAIL: eml.extractor(read),
    sniff.PDF: pdf.extract,
    sniff.EPUB: epub.extract,
    sniff.DOCX: docx.extract,
    sniff.XLSX: xlsx.extract,
    sniff.PPTX: pptx.extract,
    **dict.fromkeys(sniff.IMAGES, image.extract),
}


def _one_line(title: str | None) -> str:
    printable = "".join(c if c.isprintable() else " " for c in without_surrogates(title or ""))
    return " ".join(printable.split())[:MAX_TITLE_CHARACTERS].rstrip()
