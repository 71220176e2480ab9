"""What kind of document some bytes are."""

import io
import re
import zipfile
from pathlib import PurePosixPath

from parser.model import ParseError

MARKDOWN = "text/markdown"
TEXT = "text/plain"
HTML = "text/html"
CSV = "text/csv"
TSV = "text/tab-separated-values"
MAIL = "message/rfc822"
NOTEBOOK = "application/x-ipynb+json"
PDF = "application/pdf"
EPUB = "application/epub+zip"
_OFFICE = "application/vnd.openxmlformats-officedocument."
DOCX = f"{_OFFICE}wordprocessingml.document"
XLSX = f"{_OFFICE}spreadsheetml.sheet"
PPTX = f"{_OFFICE}presentationml.presentation"
PNG, JPEG, TIFF = "image/png", "image/jpeg", "image/tiff"
GIF, BMP, WEBP = "image/gif", "image/bmp", "image/webp"
IMAGES = frozenset((PNG, JPEG, TIFF, GIF, BMP, WEBP))

READ = (
    "Text, Markdown, HTML, PDF, Word (.docx), Excel (.xlsx), PowerPoint (.pptx), CSV, mail (.eml),"
    " notebooks (.ipynb), EPUB and images are read."
)

_EXTENSIONS = {
    **dict.fromkeys((".md", ".markdown", ".mdx", ".qmd", ".rmd"), MARKDOWN),
    **dict.fromkeys((".txt", ".text", ".log", ".rst"), TEXT),
    **dict.fromkeys((".html", ".htm", ".xhtml", ".xht"), HTML),
    ".csv": CSV,
    **dict.fromkeys((".tsv", ".tab"), TSV),
    **dict.fromkeys((".eml", ".mht", ".mhtml"), MAIL),
    ".ipynb": NOTEBOOK,
    ".pdf": PDF,
    ".epub": EPUB,
    **dict.fromkeys((".docx", ".docm", ".dotx", ".dotm"), DOCX),
    **dict.fromkeys((".xlsx", ".xlsm", ".xltx", ".xltm"), XLSX),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx", ".ppsm", ".potx"), PPTX),
}
_TYPES = {
    **{kind: kind for kind in _EXTENSIONS.values()},
    "application/xhtml+xml": HTML,
    "text/x-markdown": MARKDOWN,
    "application/csv": CSV,
}
_BINARY = {
    PDF: "a PDF",
    EPUB: "an EPUB",
    DOCX: "a Word file",
    XLSX: "an Excel workbook",
    PPTX: "a PowerPoint presentation",
}
_READ_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
)
_SIGNATURES = (
    (b"{\\rtf", "an RTF document", "Save it as .docx or PDF."),
    (b"%!PS", "a PostScript document", "Save it as PDF."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it first."),
    (b"Rar!", "a RAR archive", "Unpack it first."),
    (b"\x7fELF", "a program", ""),
    (b"MZ\x90", "a program", ""),
    (b"SQLite format 3\0", "an SQLite database", "Export its tables as CSV."),
    (b"wOFF", "a font", ""),
    (b"ID3", "a sound file", ""),
    (b"OggS", "a sound file", ""),
)
_OPEN_DOCUMENT = {
    "text": ("an OpenDocument text (.odt)", "Save it as .docx or PDF."),
    "spreadsheet": ("an OpenDocument spreadsheet (.ods)", "Save it as .xlsx or CSV."),
    "presentation": ("an OpenDocument presentation (.odp)", "Save it as .pptx or PDF."),
    "graphics": ("an OpenDocument drawing (.odg)", "Save it as PDF."),
}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_KINDS = (  # the names of the streams inside, as the format writes them
    ("WordDocument", "an old Word file (.doc)", "Save it as .docx or PDF."),
    ("Workbook", "an old Excel file (.xls)", "Save it as .xlsx or CSV."),
    ("Book", "an old Excel file (.xls)", "Save it as .xlsx or CSV."),
    ("PowerPoint Document", "an old PowerPoint file (.ppt)", "Save it as .pptx or PDF."),
    ("__properties_version1.0", "an Outlook message (.msg)", "Save it as .eml."),
)
_HTML_START = re.compile(
    rb"(?>\s+|<\?xml[^>]*>|<!--.*?-->)*+<(?:!doctype\s+html|html|head|body)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_MAIL_START = re.compile(
    rb"(?:From [^\n]*\n)?(?:Return-Path|Received|Delivered-To|MIME-Version|Message-ID"
    rb"|DKIM-Signature|X-[\w-]+):[^\n]*\n(?:[\w-]+:[^\n]*\n|[ \t][^\n]*\n){2,}",
    re.IGNORECASE,
)
_NOTEBOOK_MARK = re.compile(rb'"nbformat"\s*:\s*\d')
_PDF_WITHIN = 1024  # readers allow this much before the header


def sniff(data: bytes, filename: str, media_type: str | None) -> str:
    """The media type to read `data` as, one of the constants above.

    Raises ParseError `unsupported` for another known format, `encrypted` for a locked Office file,
    and `invalid` where the name promises a binary format and the content is neither that nor text.
    """
    named = _EXTENSIONS.get(PurePosixPath(filename.replace("\\", "/")).suffix.lower())
    if named is None and media_type is not None:
        named = _TYPES.get(media_type.partition(";")[0].strip().lower())
    head = data[:_PDF_WITHIN]
    if head.lstrip().startswith(b"%PDF-") or (named == PDF and b"%PDF-" in head):
        return PDF
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(data)
    if data.startswith(_OLE):
        raise _ole(data)
    if (image := _image(data)) is not None:
        return image
    for signature, what, instead in _SIGNATURES:
        if data.startswith(signature):
            raise unsupported(what, instead)
    if named in _BINARY and b"\0" in data:
        raise ParseError(
            "invalid", f"The file is named as {_BINARY[named]} but does not begin as one does."
        )
    if named in (CSV, TSV, MAIL, HTML, MARKDOWN):
        return named
    if _HTML_START.match(data.removeprefix(b"\xef\xbb\xbf")):
        return HTML
    if named == NOTEBOOK or (named is None and data.lstrip()[:1] == b"{" and _is_notebook(data)):
        return NOTEBOOK
    return MAIL if named is None and _MAIL_START.match(data) else TEXT


def _image(data: bytes) -> str | None:
    for signature, kind in _READ_IMAGES:
        if data.startswith(signature):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    if data[:2] == b"BM" and data[6:10] == bytes(4) and b"\0" in data[:32]:
        return BMP
    if data[4:8] == b"ftyp":
        if data[8:12] in (b"heic", b"heix", b"mif1", b"avif"):
            raise unsupported("a HEIC or AVIF image", "Save it as JPEG or PNG.")
        raise unsupported("a video or sound file")
    return None


def _is_notebook(data: bytes) -> bool:
    return b'"cells"' in data and _NOTEBOOK_MARK.search(data) is not None


def _zip_kind(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            types = _start(archive, "[Content_Types].xml", 256 * 1024)
            plain = _start(archive, "mimetype", 200).decode("ascii", "replace").strip()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise ParseError(
            "invalid", "The file is a damaged zip archive (a Word file is one inside)."
        ) from error
    if plain.startswith(EPUB) or "META-INF/container.xml" in names:
        return EPUB
    if "vnd.oasis.opendocument." in plain:
        kind = plain.rpartition("opendocument.")[2].partition("-")[0]
        raise unsupported(*_OPEN_DOCUMENT.get(kind, ("an OpenDocument file", "Save it as PDF.")))
    # By what its list of contents says: the main part may have any name.
    for mark, kind in ((b"word", DOCX), (b"excel", XLSX), (b"powerpoint", PPTX)):
        if re.search(rb"application/vnd\.ms-%b[\w.]*main\+xml" % mark, types):
            return kind
    for mark, kind in ((b"word", DOCX), (b"spreadsheet", XLSX), (b"presentation", PPTX)):
        if re.search(rb"officedocument\.%bml\.[\w.]*main\+xml" % mark, types):
            return kind
    for folder, kind in (("word/", DOCX), ("xl/", XLSX), ("ppt/", PPTX)):
        if any(name.startswith(folder) and name.endswith(".xml") for name in names):
            return kind
    if any(name.endswith(".iwa") for name in names):
        raise unsupported("an Apple Pages, Numbers or Keynote file", "Export it as .docx or PDF.")
    raise unsupported("a zip archive", "Unpack it first.")


def _start(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    try:
        with archive.open(name) as part:
            return part.read(size)
    except (KeyError, RuntimeError, NotImplementedError):  # not there, locked
        return b""


def _ole(data: bytes) -> ParseError:
    if "EncryptedPackage".encode("utf-16-le") in data:
        return ParseError(
            "encrypted", "The Office file is encrypted. Remove its password and send it again."
        )
    for stream, what, instead in _OLE_KINDS:
        if stream.encode("utf-16-le") in data:
            return unsupported(what, instead)
    return unsupported("an old Office file (.doc, .xls, .ppt)", "Save it in today's format or PDF.")


def unsupported(what: str, instead: str = "") -> ParseError:
    """The refusal of a known kind, with what to do instead."""
    return ParseError(
        "unsupported", " ".join(filter(None, (f"The file is {what}.", instead, READ)))
    )
