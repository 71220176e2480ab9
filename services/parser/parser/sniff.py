"""What kind of document some bytes are."""

import io
import re
import zipfile
from pathlib import PurePosixPath

from parser.model import ParseError

MARKDOWN = "text/markdown"
TEXT = "text/plain"
HTML = "text/html"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

_EXTENSIONS = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".txt": TEXT,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".pdf": PDF,
    ".docx": DOCX,
}
_SIGNATURES = (
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\0", "an SQLite database"),
)
_OFFICE_PARTS = {
    "xl/": "an Excel workbook",
    "ppt/": "a PowerPoint presentation",
    "META-INF/": "an OpenDocument or EPUB file",
}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_HTML_START = re.compile(
    rb"(?>\s+|<\?xml[^>]*>|<!--.*?-->)*+<(?:!doctype\s+html|html|head|body)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_PDF_WITHIN = 1024  # readers allow this much before the header


def sniff(data: bytes, filename: str, media_type: str | None) -> str:
    """The media type to read `data` as, one of the five constants above.

    Raises ParseError `unsupported` for another known format, `encrypted` for a locked Office file,
    and `invalid` where the name promises a PDF or a Word file and the content is neither that nor
    text.
    """
    named = _EXTENSIONS.get(PurePosixPath(filename.replace("\\", "/")).suffix.lower())
    if named is None and media_type is not None:
        plain = media_type.partition(";")[0].strip().lower()
        named = plain if plain in _EXTENSIONS.values() else None
    head = data[:_PDF_WITHIN]
    if head.lstrip().startswith(b"%PDF-") or (named == PDF and b"%PDF-" in head):
        return PDF
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(data)
    if data.startswith(_OLE):
        if _OLE_ENCRYPTED in data:
            raise ParseError(
                "encrypted", "The Office file is encrypted. Remove its password and send it again."
            )
        raise _unsupported("an old Office file (.doc, .xls, .ppt)")
    for signature, what in _SIGNATURES:
        if data.startswith(signature):
            raise _unsupported(what)
    if named in (PDF, DOCX) and b"\0" in data:
        name = "PDF" if named == PDF else "Word file"
        raise ParseError(
            "invalid", f"The file is named as a {name} but does not begin as one does."
        )
    if named == HTML or _HTML_START.match(data.removeprefix(b"\xef\xbb\xbf")):
        return HTML
    return MARKDOWN if named == MARKDOWN else TEXT


def _zip_kind(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ParseError(
            "invalid", "The file is a damaged zip archive (a Word file is one inside)."
        ) from error
    if "word/document.xml" in names:
        return DOCX
    for folder, what in _OFFICE_PARTS.items():
        if any(name.startswith(folder) for name in names):
            raise _unsupported(what)
    raise _unsupported("a zip archive")


def _unsupported(what: str) -> ParseError:
    return ParseError(
        "unsupported", f"The file is {what}. Markdown, text, HTML, PDF and Word (.docx) are read."
    )
