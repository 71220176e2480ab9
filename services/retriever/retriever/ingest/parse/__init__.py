"""Documents to text: Markdown, plain text, HTML, PDF and Word.

A file is what its content says; the name's extension, then the media type, decide only between
kinds of text. Why these libraries:

- PDF: pypdfium2. PDFium is Chrome's engine: fuzzed without pause, fast, its text in reading order,
  its licence permissive (PyMuPDF is AGPL; pypdf, pure Python, is many times slower).
- Word: python-docx, the standard reader of the format, over lxml with entities off.
- HTML: selectolax (lexbor), an HTML5 parser in C that reads bad markup as browsers do, many times
  faster than BeautifulSoup; it runs and fetches nothing.
- Encodings: charset-normalizer, where neither a mark nor UTF-8 settles it.

Nothing here limits time or memory: run it in `retriever.ingest.workers`, which does.
"""

from pathlib import PurePosixPath

from retriever.ingest.markdown import headings
from retriever.ingest.parse import docx, html, pdf
from retriever.ingest.parse.sniff import DOCX, HTML, MARKDOWN, PDF, TEXT, sniff
from retriever.ingest.parse.text import decode, without_surrogates
from retriever.ingest.parse.types import Extracted, Parsed, ParseError, ParseLimits, page_at

__all__ = ["EXTRACTED", "MARKED_UP", "ParseError", "ParseLimits", "Parsed", "page_at", "parse"]

MARKED_UP = frozenset((MARKDOWN, HTML, DOCX))
"""Media types whose parsed text has Markdown headings."""

EXTRACTED = "text/plain; extracted"
"""Media type of what was handed in as text: taken as it is, never looked into for another kind."""

MAX_TITLE_CHARACTERS = 300

_READERS = {PDF: pdf.extract, DOCX: docx.extract, HTML: html.extract}


def parse(data: bytes, filename: str, media_type: str | None, limits: ParseLimits) -> Parsed:
    """Extract a document's text and title.

    `filename` may hold a relative path; only its last part is used. Raises ParseError for anything
    unreadable.
    """
    limits.check_bytes(len(data))
    if not data:
        raise ParseError("empty", "The file is empty.")
    if media_type == EXTRACTED:
        kind, extracted = TEXT, Extracted(data.decode())
    else:
        kind = sniff(data, filename, media_type)
        reader = _READERS.get(kind)
        extracted = reader(data, limits) if reader else Extracted(decode(data))
    limits.check_characters(len(extracted.text))
    if not extracted.text.strip():
        raise ParseError("empty", "The document holds no text.")
    first = next(headings(extracted.text), None) if kind in MARKED_UP else None
    stem = PurePosixPath(filename.replace("\\", "/")).stem
    title = (
        _one_line(extracted.title)
        or (first.words if first else "")
        or _one_line(stem)
        or "Untitled"
    )
    return Parsed(extracted.text, title, kind, extracted.pages)


def _one_line(title: str | None) -> str:
    printable = "".join(c if c.isprintable() else " " for c in without_surrogates(title or ""))
    return " ".join(printable.split())[:MAX_TITLE_CHARACTERS].rstrip()
