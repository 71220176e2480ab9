"""Documents to text.

A file is what its content says; the name's extension, then the media type, decide only between
kinds of text. Nothing here limits time or memory: run it in `parser.pool`, which does.
"""

from collections.abc import Callable, Sequence
from email.message import Message
from pathlib import PurePosixPath

from parser import sniff
from parser.charset import without_surrogates
from parser.markdown import headings
from parser.model import Extracted, Ocr, Parsed, ParseError, ParseLimits, Reading
from parser.plugins import Plugin, versions
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

Read = Callable[[bytes, str | None, Reading], tuple[str, Extracted]]

_AS_IT_IS = frozenset((sniff.TEXT,))
"""Kinds whose marks are not Markdown's."""


def version(ocr: Ocr, plugins: Sequence[Plugin] = ()) -> str:
    """Of all that decides which text a document gives."""
    return "+".join(filter(None, (VERSION, str(ocr), versions(plugins))))


def parse(
    data: bytes,
    filename: str,
    media_type: str | None,
    limits: ParseLimits,
    ocr: Ocr | None = None,
    plugins: Sequence[Plugin] = (),
) -> Parsed:
    """Extract a document's text and title.

    `filename` may hold a relative path; only its last part is used. `media_type` may hold a
    `charset`. Raises ParseError for anything unreadable.
    """
    reading = Reading(limits, filename, charset(media_type), ocr or Ocr())
    kind, extracted = reader(plugins)(data, media_type, reading)
    limits.check_characters(len(extracted.text))
    if not extracted.text.strip():
        raise ParseError("empty", "The document holds no text.")
    own = next((one for one in plugins if one.media_type == kind), None)
    marked_up = own.markdown if own else kind not in _AS_IT_IS
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


def reader(plugins: Sequence[Plugin] = ()) -> Read:
    """What says which kind a file is, and what its reader finds in it; `plugins` go first."""
    own = {plugin.media_type: plugin.read for plugin in plugins}

    def read(data: bytes, media_type: str | None, reading: Reading) -> tuple[str, Extracted]:
        reading.limits.check_bytes(len(data))
        if not data:
            raise ParseError("empty", "The file is empty.")
        taken = (one.media_type for one in plugins if one.takes(reading.name, media_type))
        kind = next(taken, None) or sniff.sniff(data, reading.name, media_type)
        return kind, (own.get(kind) or readers[kind])(data, reading)

    readers = {**_READERS, sniff.MAIL: eml.extractor(read)}
    return read


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
