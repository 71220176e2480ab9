"""EPUB: the book's chapters in the order of its spine, each read as HTML."""

import posixpath
import re
from urllib.parse import unquote

from lxml import etree

from parser.archive import Archive
from parser.charset import decode
from parser.model import Extracted, Metadata, ParseError, Reading
from parser.readers import html
from parser.readers.word.names import Element

_CONTAINER = "META-INF/container.xml"
_DOCTYPE = re.compile(rb"<!DOCTYPE[^>\[]*>")
_PAGES = frozenset(("application/xhtml+xml", "text/html", "application/x-dtbook+xml"))


def extract(data: bytes, reading: Reading) -> Extracted:
    """Read a book. Raises ParseError `invalid`, `encrypted` or `too_large`."""
    archive = Archive(data, "The EPUB", reading.limits)
    if archive.has("META-INF/encryption.xml") and b"EncryptedData" in archive.read(
        "META-INF/encryption.xml"
    ) and archive.has("META-INF/rights.xml"):  # fmt: skip
        raise ParseError("encrypted", "The EPUB is locked by digital rights management.")
    container = _parsed(archive.read(_CONTAINER))
    opf = next((one.get("full-path") for one in container.iter("{*}rootfile")), None)
    if opf is None:
        raise ParseError("invalid", "The EPUB is damaged: it does not say where its book is.")
    book = _parsed(archive.read(opf))
    folder = posixpath.dirname(opf)
    items = {one.get("id"): one for one in book.iter("{*}item")}
    texts = []
    for reference in book.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in _PAGES:
            continue
        if "nav" in (item.get("properties") or "").split() or reference.get("linear") == "no":
            continue
        name = posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))
        if archive.has(name):
            page = decode(archive.read(name), reading)
            texts.append(html.read(page, reading, whole=True).text)
        reading.limits.check_characters(sum(map(len, texts)))
    told = {tag: _told(book, tag) for tag in ("title", "creator", "language")}
    metadata: Metadata = {
        key: told[tag]
        for key, tag in (("author", "creator"), ("language", "language"))
        if told[tag]
    }
    return Extracted("\n\n".join(filter(None, texts)), told["title"], metadata=metadata)


def _told(book: Element, tag: str) -> str:
    found = (one.text for one in book.iter("{http://purl.org/dc/elements/1.1/}" + tag))
    return " ".join((next(found, "") or "").split())[:300]


def _parsed(content: bytes) -> Element:
    content = _DOCTYPE.sub(b"", content)
    if b"<!DOCTYPE" in content.replace(b"\0", b""):
        raise ParseError("invalid", "The EPUB's XML holds a DTD, which is not accepted.")
    try:
        return etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ParseError("invalid", "The EPUB is damaged: a part is not valid XML.") from error
