"""HTML to text: headings as `#` lines; paragraphs, list items, table rows on lines of their own."""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from parser.model import Extracted, ParseLimits
from parser.readers.text import decode

_DROPPED = frozenset(
    (
        *("head", "script", "style", "noscript", "template", "nav", "svg", "iframe", "object"),
        *("embed", "canvas", "audio", "video", "map", "select", "button", "textarea", "dialog"),
    )
)
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
# Inside a table cell these do not end the row's line; the stronger ones below do.
_SOFT_BLOCKS = frozenset(("p", "div"))
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "details", "dl", "fieldset"),
        *("figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "main", "ol"),
        *("section", "summary", "table", "ul", *_HEADINGS),
    )
)
_LINES = frozenset(("li", "dt", "dd", "tr", "caption"))
_CELLS = frozenset(("td", "th"))
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_CHARSET_WITHIN = (
    4096  # the standard looks in the first 1024 bytes; pages in the wild need a little more
)


def extract(data: bytes, limits: ParseLimits) -> Extracted:
    """Read an HTML page; scripts are never run and nothing it refers to is fetched."""
    declared = _CHARSET.search(data[:_CHARSET_WITHIN])
    text = decode(data, declared[1].decode("ascii") if declared else None)
    try:
        document = LexborHTMLParser(text)
    except SelectolaxError as error:  # no markup is an error in HTML5: it could not allocate
        raise MemoryError(str(error)) from error
    title = document.css_first("head > title")
    writer = _Writer(limits)
    if document.body is not None:
        _walk(document.body, writer)
    return Extracted(writer.finish(), title.text() if title is not None else None)


def _walk(root: LexborNode, writer: "_Writer") -> None:
    """Visit every node in order with a stack of our own: pages nest deeper than Python recurses."""
    stack: list[tuple[LexborNode, bool]] = [(root, True)]
    while stack:
        node, entering = stack.pop()
        tag = node.tag or ""
        if not entering:
            writer.leave(tag)
            if (sibling := node.next) is not None:
                stack.append((sibling, True))
            continue
        if tag == "-text":
            writer.words(node.text_content or "")
        elif tag == "pre":
            writer.preformatted(node.text())
        elif tag not in _DROPPED and not tag.startswith("-"):
            writer.enter(tag)
            stack.append((node, False))
            if (child := node.first_child) is not None:
                stack.append((child, True))
            continue
        if (sibling := node.next) is not None:
            stack.append((sibling, True))


class _Writer:
    """Collects words into lines, and lines into text with one blank line between blocks."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._lines: list[str] = []
        self._words: list[str] = []
        self._prefix = ""
        self._characters = 0
        self._cells = 0
        self._headings = 0

    def enter(self, tag: str) -> None:
        if tag == "br":
            self._soft_end()
        elif tag in _CELLS:
            self._cells += 1
        elif tag in _SOFT_BLOCKS:
            self._soft_end(gap=tag == "p" and not self._prefix)  # a list item's first paragraph
        elif tag in _BLOCKS or tag in _LINES:
            self._end_line(gap=tag in _BLOCKS)
            self._headings += tag in _HEADINGS
            self._prefix = "- " if tag == "li" else _HEADINGS.get(tag, self._prefix)

    def leave(self, tag: str) -> None:
        if tag in _CELLS:
            self._cells -= 1
            self._words.append(" | ")
        elif tag in _SOFT_BLOCKS:
            self._soft_end(gap=tag == "p")
        elif tag in _BLOCKS or tag in _LINES:
            self._end_line(gap=tag in _BLOCKS)
            self._headings -= tag in _HEADINGS
            self._prefix = ""

    def words(self, text: str) -> None:
        self._words.append(text)

    def preformatted(self, text: str) -> None:
        """Code keeps its lines, fenced, so that a `# comment` in it is not taken for a heading."""
        self._end_line(gap=True)
        fence = "~~~" if "```" in text else "```"
        if text.strip():
            self._add(f"{fence}\n{text.strip(chr(10))}\n{fence}")
            self._lines.append("")

    def finish(self) -> str:
        self._end_line()
        return "\n".join(self._lines).strip()

    def _soft_end(self, gap: bool = False) -> None:
        if self._cells or self._headings:
            self._words.append(" ")
        else:
            self._end_line(gap)

    def _end_line(self, gap: bool = False) -> None:
        line = (
            " ".join("".join(self._words).replace("\u00ad", "").split()).removesuffix("|").rstrip()
        )
        self._words.clear()
        if line:
            self._add(self._prefix + line)
            self._prefix = ""
        if gap and self._lines and self._lines[-1]:
            self._lines.append("")

    def _add(self, line: str) -> None:
        self._characters += len(line) + 1
        self._limits.check_characters(self._characters)
        self._lines.append(line)
