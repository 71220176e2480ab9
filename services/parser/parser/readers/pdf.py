"""PDF to Markdown, page by page; pages that are only pictures are read by OCR.

The words are PDFium's, which is Chrome's engine: fuzzed without pause and fast, its licence
permissive. liteparse, over a PDFium of its own, finds headings, columns, tables and form fields.
"""

from collections.abc import Sequence

import liteparse
import pypdfium2
import pypdfium2.raw as pdfium

from parser import ocr
from parser.model import Extracted, Metadata, ParseError, Reading
from parser.readers.pages import heads
from parser.readers.pages.fields import fill_in, type_on
from parser.readers.pages.hyphens import Hyphens
from parser.readers.pages.layout import compose, goes_on, joined
from parser.readers.pages.words import HYPHEN, Page, read

PAGE_BREAK = "\n\n"
_LEAST_ALIKE = 0.7
_LEAST_COMPARED = 20


def extract(data: bytes, reading: Reading) -> Extracted:
    """Read a PDF.

    Raises ParseError: `encrypted`, `invalid`, `too_large` (pages, characters) or `empty`.
    """
    pages, title, author = _words(data, reading)
    laid_out, differing = _laid_out(data, reading), list[int]()
    for page in pages:
        seen = laid_out.get(page.number)
        if seen is not None:
            if _differ(page, seen):
                differing.append(page.number)
            fill_in(page, seen.form_fields or ())
            type_on(page, seen.annotations or ())
    if differing:
        where = ocr.named(differing)
        reading.warn("readers_differ", f"Two readers see different words on {where}.", differing)
    pictures = {
        page.number: " ".join(word.text for word in page.words) for page in pages if page.pictures
    }
    heads.remove(pages)
    hyphens = Hyphens(word.text for page in pages for word in page.words if HYPHEN not in word.text)
    metadata: Metadata = {"author": author} if author else {}
    read_by_ocr = ocr.pages(data, pictures, reading, metadata) if pictures else {}
    texts: list[tuple[str, bool]] = []
    for page in pages:
        seen = laid_out.get(page.number)
        if recognized := read_by_ocr.get(page.number):
            texts.append((recognized, False))
        else:
            blocks = seen.blocks or () if seen is not None else ()
            texts.append(compose(page, blocks, hyphens))
    if not any(text for text, _ in texts):
        raise ParseError("empty", "The PDF holds no text, and none was found in its pictures.")
    text, starts = _bound(texts, hyphens, reading)
    return Extracted(text, title, starts, metadata)


def _words(data: bytes, reading: Reading) -> tuple[list[Page], str, str]:
    document = _open(data)
    try:
        count, most = len(document), reading.limits.max_pages
        if count > most:
            raise ParseError("too_large", f"The PDF has {count:,} pages; the limit is {most:,}.")
        if count == 0:
            raise ParseError("invalid", "The PDF has no pages, or its list of pages is damaged.")
        pages, characters = [], 0
        for index in range(count):
            pages.append(read(document, index))
            characters += sum(len(word.text) + 1 for word in pages[-1].words)
            reading.limits.check_characters(characters)
        title = " ".join(document.get_metadata_value("Title").split())
        author = " ".join(document.get_metadata_value("Author").split())[:300]
    finally:
        document.close()
    return pages, title, author


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


def _laid_out(data: bytes, reading: Reading) -> dict[int, liteparse.ParsedPage]:
    """What liteparse finds on each page; where it fails, pages are read from top to bottom."""
    parser = liteparse.LiteParse(
        ocr_enabled=False,
        output_format="json",
        keep_headers_footers=True,  # its own stripping eats lines of the body
        extract_blocks=True,
        extract_form_fields=True,
        extract_annotations=True,
        extract_links=False,
        image_mode="off",
        continue_on_page_error=True,
        max_pages=reading.limits.max_pages,
        quiet=True,
    )
    try:
        return {page.page_num: page for page in parser.parse(data).pages}
    except liteparse.ParseError:
        reading.warn("readers_differ", "The layout of the pages could not be read.")
        return {}


def _differ(page: Page, seen: liteparse.ParsedPage) -> bool:
    """Whether the two readers see different words on a page."""
    ours = {word.text.strip(HYPHEN) for word in page.words if word.text.isalnum()}
    theirs = set(seen.text.split())
    alike = len(ours & theirs)
    return len(ours) >= _LEAST_COMPARED and bool(theirs) and alike < _LEAST_ALIKE * len(ours)


def _bound(
    texts: Sequence[tuple[str, bool]], hyphens: Hyphens, reading: Reading
) -> tuple[str, tuple[int, ...]]:
    """The pages' texts as one, and where each begins; a sentence goes on over their border."""
    whole, starts = "", []
    done: list[str] = []
    length, broken_off = 0, False
    for text, full in texts:
        if broken_off and text and goes_on(whole, text):
            whole = joined(whole, text, hyphens)
            starts.append(length + len(whole) - len(text))
            broken_off = full
            continue
        if whole or starts:
            done.append(whole.replace(HYPHEN, "-"))
            length += len(done[-1]) + len(PAGE_BREAK)
        starts.append(length)
        whole, broken_off = text, full
        reading.limits.check_characters(length + len(whole))
    done.append(whole.replace(HYPHEN, "-"))
    return PAGE_BREAK.join(done), tuple(starts)
