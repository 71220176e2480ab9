"""PDF to text, page by page, with PDFium. No OCR: a scan without a text layer is refused."""

import ctypes
import re

import pypdfium2
import pypdfium2.raw as pdfium

from parser.model import Extracted, ParseError, ParseLimits

PAGE_BREAK = "\n\n"

# Producers write these where nobody chose a title.
_NO_TITLES = frozenset(("untitled", "unknown", "(anonymous)", "none"))
# PDFium joins a word hyphenated at a line's end and marks the place (U+0002 in its other calls).
_LINE_HYPHEN = re.compile("[\ufffe\x02]\n?(?P<next>.?)", re.DOTALL)
_SENTENCE_ENDS = (*".!?:;\u2026", "\u3002", "\uff01", "\uff1f")
_LIST_ITEM = re.compile(
    r"(?:[-*\u00b7\u2013\u2014\u2022\u2023\u25aa\u25e6]|\(?(?:\d{1,3}|[A-Za-z])[.)])\s"
)
# A line this near to the page's longest was cut by the margin, not by its author.
_FULL_LINE = 0.7


def extract(data: bytes, limits: ParseLimits) -> Extracted:
    """Read a PDF's text layer.

    Raises ParseError: `encrypted`, `invalid`, `too_large` (pages, characters) or `empty`.
    """
    document = _open(data)
    try:
        count = len(document)
        if count > limits.max_pages:
            raise ParseError(
                "too_large", f"The PDF has {count:,} pages; the limit is {limits.max_pages:,}."
            )
        if count == 0:
            raise ParseError("invalid", "The PDF has no pages, or its list of pages is damaged.")
        texts: list[str] = []
        starts: list[int] = []
        length = 0
        for index in range(count):
            text = _tidy(_page_text(document, index))
            starts.append(length)
            texts.append(text)
            length += len(text) + len(PAGE_BREAK)
            limits.check_characters(length)
        title = " ".join(document.get_metadata_value("Title").split())
    finally:
        document.close()
    if not any(texts):
        raise ParseError(
            "empty", "The PDF has no text layer, as a scan has none. OCR is not done here."
        )
    return Extracted(
        PAGE_BREAK.join(texts), None if title.lower() in _NO_TITLES else title, tuple(starts)
    )


def _open(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise ParseError(
                "encrypted", "The PDF is encrypted. Remove its password and send it again."
            ) from error
        raise ParseError(
            "invalid", "The file is not a readable PDF: damaged or cut short."
        ) from error


def _page_text(document: pypdfium2.PdfDocument, index: int) -> str:
    try:
        page = document[index]
        text_page = page.get_textpage()
        text: str = text_page.get_text_range()
    except (pypdfium2.PdfiumError, ctypes.ArgumentError) as error:
        raise ParseError("invalid", f"Page {index + 1} of the PDF is damaged.") from error
    text_page.close()
    page.close()
    return text


def _tidy(text: str) -> str:
    """One page's text with words and paragraphs made whole again."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00ad", "").replace("\0", "")
    text = _LINE_HYPHEN.sub(lambda m: m["next"] if m["next"].islower() else "-" + m["next"], text)
    lines = [line.strip() for line in text.split("\n")]
    full = _FULL_LINE * max(map(len, lines))
    joined: list[str] = []
    for i, line in enumerate(lines):
        joined.append(line)
        following = lines[i + 1] if i + 1 < len(lines) else ""
        wrapped = len(line) >= full and not line.endswith(_SENTENCE_ENDS)
        joined.append(" " if wrapped and following and not _LIST_ITEM.match(following) else "\n")
    return "".join(joined).strip()
