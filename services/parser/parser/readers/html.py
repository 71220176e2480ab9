"""HTML to Markdown: what a reader of the page sees of its main content.

selectolax (lexbor) parses as browsers do; it runs and fetches nothing. Hidden elements and what
stands around the content are left out (`parser.readers.page`).
"""

import re
from contextlib import suppress
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from parser.charset import decode
from parser.model import Extracted, Metadata, ParseError, Reading
from parser.readers.markup import render
from parser.readers.page import content, hidden_by_rules

_CHARSET = re.compile(
    rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*[\"']([\w.:-]+)",
    re.IGNORECASE,
)
_CHARSET_WITHIN = 4096
# the standard looks in the first 1024 bytes; pages in the wild need a little more

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)(?:[^<>]*?)(/?)>")
_ENDED_BY_OTHERS = frozenset(
    ("p", "li", "tr", "td", "th", "dt", "dd", "option", "tbody", "thead", "colgroup", "rt", "rp")
)
_VOID = frozenset(
    ("br", "hr", "img", "input", "meta", "link", "area", "base", "col", "embed", "source", "wbr")
)
_DEEPEST = 20_000
"""Elements inside each other; lexbor's time grows with the square of it: half a second here."""


def extract(data: bytes, reading: Reading) -> Extracted:
    """Read an HTML page; scripts are never run and nothing it refers to is fetched."""
    declared = reading.charset
    if declared is None and (found := _CHARSET.search(data[:_CHARSET_WITHIN])):
        declared = (found[1] or found[2]).decode("ascii")
    return read(decode(data, reading, declared), reading)


def read(text: str, reading: Reading, whole: bool = False) -> Extracted:
    """Read a page as text; `whole`: all of its body is content, as in a mail or a book."""
    document = _parsed(text)
    title = document.css_first("head > title")
    if document.body is None:
        return Extracted("")
    _from_base(document)
    hidden = hidden_by_rules(document)
    roots = [document.body] if whole else content(document.body, hidden)
    text, left_out = render(roots, hidden, reading.limits, whole)
    if left_out:
        reading.warn(
            "hidden_left_out", f"{left_out:,} characters that no reader sees are left out."
        )
    return Extracted(
        text, title.text() if title is not None else None, metadata=_metadata(document)
    )


def _parsed(text: str) -> LexborHTMLParser:
    depth = deepest = 0
    for match in _TAG.finditer(text):
        closes, name, alone = match.groups()
        name = name.lower()
        if alone or name in _VOID or name in _ENDED_BY_OTHERS:
            continue
        depth = max(0, depth - 1) if closes else depth + 1
        deepest = max(deepest, depth)
    if deepest > _DEEPEST:
        raise ParseError("invalid", f"The page nests its elements more than {_DEEPEST:,} deep.")
    try:
        return LexborHTMLParser(text)
    except SelectolaxError as error:  # no markup is an error in HTML5: it could not allocate
        raise MemoryError(str(error)) from error


def _from_base(document: LexborHTMLParser) -> None:
    """Make links whole where the page says from where they lead."""
    base = document.css_first("base[href]")
    told = (base.attributes.get("href") or "").strip() if base is not None else ""
    if not told.startswith(("https://", "http://")):
        return
    for link in document.css("a[href]"):
        address = (link.attributes.get("href") or "").strip()
        if address and not address.startswith("#"):
            with suppress(ValueError):  # what is no address stays as it is
                link.attrs["href"] = urljoin(told, address)


def _metadata(document: LexborHTMLParser) -> Metadata:
    found: Metadata = {}
    root: LexborNode | None = document.root
    if root is not None and (language := (root.attributes.get("lang") or "").strip()):
        found["language"] = language[:40]
    for name in ("author", "description", "date"):
        node = document.css_first(f'head > meta[name="{name}" i]')
        if node is not None and (value := " ".join((node.attributes.get("content") or "").split())):
            found[name] = value[:500]
    return found
