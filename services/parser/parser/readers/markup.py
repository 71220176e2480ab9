"""A page's elements as Markdown: headings, lists with their numbers, tables, links, alt texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selectolax.lexbor import LexborNode

from parser.counting import letters, roman
from parser.model import ParseLimits
from parser.readers.mathml import linear
from parser.readers.page import is_around, is_hidden
from parser.tables import Grid, table
from parser.words import plain, raised

_DROPPED = frozenset(
    (
        *("head", "script", "style", "noscript", "template", "iframe", "object", "rp"),
        *("embed", "canvas", "audio", "video", "map", "button", "datalist"),
    )
)
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
# Inside a table cell these do not end the row's line; the stronger ones below do.
_SOFT_BLOCKS = frozenset(("p", "div"))
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "center", "details", "dl"),
        *("fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "main"),
        *("ol", "section", "ul", "menu", *_HEADINGS),
    )
)
_LINES = frozenset(("li", "dt", "dd", "caption", "summary", "legend"))
_STRUCK = frozenset(("del", "s", "strike"))
_LISTS = frozenset(("ol", "ul", "menu"))
_DEEPEST_TABLE = 4
_LONGEST_ADDRESS = 500


def render(
    roots: Sequence[LexborNode], hidden: set[int], limits: ParseLimits, whole: bool = False
) -> tuple[str, int]:
    """The elements as Markdown, and how many characters of them are hidden and left out.

    `hidden` has the ids of elements that a style sheet hides; `whole`: nothing in them stands
    around the content. Raises ParseError `too_large`.
    """
    writer = _Writer(limits)
    walker = _Walker(writer, hidden, whole)
    for root in roots:
        walker.walk(root, inside=whole or root.tag != "body")
    return writer.finish(), walker.left_out


class _Walker:
    """Visits every node in order, with a stack of its own: pages nest deeper than Python's."""

    def __init__(self, writer: "_Writer", hidden: set[int], whole: bool, tables: int = 0) -> None:
        self.left_out = 0
        self._writer = writer
        self._hidden = hidden
        self._whole = whole
        self._tables = tables

    def walk(self, root: LexborNode, inside: bool) -> None:
        stack: list[tuple[LexborNode, bool, bool]] = [(root, True, inside)]
        while stack:
            node, entering, inside = stack.pop()
            if not entering:
                self._writer.leave(node.tag or "")
                if node.mem_id != root.mem_id and (sibling := node.next) is not None:
                    stack.append((sibling, True, inside))
                continue
            if self._enter(node, inside):
                stack.append((node, False, inside))
                if (child := node.first_child) is not None:
                    stack.append((child, True, inside or node.tag == "article"))
            elif node.mem_id != root.mem_id and (sibling := node.next) is not None:
                stack.append((sibling, True, inside))

    def _enter(self, node: LexborNode, inside: bool) -> bool:
        """Write what the node itself says; whether its children are to be visited."""
        tag, writer = node.tag or "", self._writer
        if tag == "-text":
            writer.words(node.text_content or "")
            return False
        if tag in _DROPPED or tag.startswith("-"):
            return False
        attributes = node.attributes
        if node.mem_id in self._hidden or is_hidden(node, attributes):
            self.left_out += len(" ".join(node.text().split()))
            return False
        if not self._whole and is_around(node, attributes, inside):
            return False
        if tag == "pre":
            writer.preformatted(node.text())
        elif tag == "table" and attributes.get("role") not in ("presentation", "none"):
            return self._table(node)
        elif tag == "sup":
            writer.words(raised(node.text()))
        elif tag == "math":
            writer.words(f"${linear(node)}$")
        elif tag == "img":
            if alt := " ".join((attributes.get("alt") or "").split()):
                writer.words(f"![{alt}]")
        elif tag == "svg":
            drawn = (" ".join(one.text().split()) for one in node.css("text"))
            writer.words("".join(f" {words} " for words in drawn if words))
        elif tag in ("input", "select"):
            writer.words(_value(node, attributes))
        else:
            writer.enter(tag, attributes)
            return True
        return False

    def _table(self, node: LexborNode) -> bool:
        if self._tables == _DEEPEST_TABLE:
            self._writer.words(node.text(separator=" "))
            return False
        rows = [
            (row, [one for one in row.iter() if one.tag in ("td", "th")]) for row in _rows(node)
        ]
        if _lays_out([cells for _, cells in rows]):
            return True
        grid, heads = Grid(), 0
        for n, (row, cells) in enumerate(rows):
            if row.mem_id in self._hidden or is_hidden(row, row.attributes):
                self.left_out += len(" ".join(row.text().split()))
                continue
            named = all(one.tag == "th" for one in cells)
            heads += heads == n and (
                named or (row.parent is not None and row.parent.tag == "thead")
            )
            grid.row(self._cell(one) for one in cells)
        for caption in node.iter():
            if caption.tag == "caption":
                self._writer.block(" ".join(caption.text().split()))
        self._writer.block(table(grid.rows(max(1, heads))), inner=self._tables > 0)
        return False

    def _cell(self, node: LexborNode) -> tuple[str, int, int]:
        writer = _Writer(self._writer.limits)
        inner = _Walker(writer, self._hidden, True, self._tables + 1)
        inner.walk(node, inside=True)
        self.left_out += inner.left_out
        attributes = node.attributes
        return writer.finish(), _span(attributes, "colspan"), _span(attributes, "rowspan")


def _rows(node: LexborNode) -> Iterator[LexborNode]:
    """A table's own rows, and none of a table inside it."""
    for child in node.iter():
        if child.tag == "tr":
            yield child
        elif child.tag in ("thead", "tbody", "tfoot"):
            yield from (row for row in child.iter() if row.tag == "tr")


def _lays_out(rows: list[list[LexborNode]]) -> bool:
    """Whether a table only places what is in it: in one column, or headings, or tables."""
    if max(map(len, rows), default=0) < 2:
        return True
    cells = [one for row in rows for one in row]
    named = any(one.tag == "th" for one in cells)
    inner = "h1, h2, h3" if named else "h1, h2, h3, table"
    return any(one.css_first(inner) is not None for one in cells)


def _span(attributes: dict[str, str | None], name: str) -> int:
    told = (attributes.get(name) or "").strip()
    return min(max(int(told), 1), 100) if told.isdecimal() else 1


def _value(node: LexborNode, attributes: dict[str, str | None]) -> str:
    """What a form's field holds, as its reader sees it."""
    if node.tag == "select":
        chosen = node.css_first("option[selected]") or node.css_first("option")
        return f" {chosen.text()} " if chosen is not None else ""
    kind = (attributes.get("type") or "text").lower()
    if kind in ("checkbox", "radio"):
        return " [x] " if "checked" in attributes else " [ ] "
    if kind in ("hidden", "password", "submit", "button", "reset", "image", "file", "search"):
        return ""
    return f" {attributes.get('value') or ''} "


@dataclass
class _List:
    """An open list: its next number, how it counts, and the marker of its open item."""

    number: int
    step: int
    kind: str
    indent: int
    marker: str = ""


class _Writer:
    """Collects words into lines, and lines into text with one blank line between blocks."""

    def __init__(self, limits: ParseLimits) -> None:
        self.limits = limits
        self._lines: list[str] = []
        self._words: list[str] = []
        self._prefix = ""
        self._characters = 0
        self._headings = 0
        self._lists: list[_List] = []
        self._links: list[tuple[int, int, str]] = []

    def enter(self, tag: str, attributes: dict[str, str | None]) -> None:
        if tag == "br":
            self._soft_end()
        elif tag == "a":
            self._links.append((len(self._lines), len(self._words), _address(attributes)))
        elif tag in _STRUCK:
            self._words.append("~~")
        elif tag == "q":
            self._words.append("\u201c")
        elif tag == "rt":
            self._words.append("(")
        elif tag in _SOFT_BLOCKS:
            self._soft_end(gap=tag == "p" and not self._prefix)  # a list item's first paragraph
        elif tag in _BLOCKS or tag in _LINES:
            self._end_line(gap=tag in _BLOCKS and not (tag in _LISTS and self._lists))
            self._headings += tag in _HEADINGS
            self._prefix = _HEADINGS.get(tag, self._prefix)
            if tag in _LISTS:
                self._open_list(tag, attributes)
            elif tag == "li":
                self._item(attributes)

    def leave(self, tag: str) -> None:
        if tag == "a":
            self._close_link()
        elif tag in _STRUCK:
            self._words.append("~~")
        elif tag == "q":
            self._words.append("\u201d")
        elif tag == "rt":
            self._words.append(")")
        elif tag in ("td", "th"):
            self._words.append(" ")
        elif tag in _SOFT_BLOCKS or tag == "tr":
            self._soft_end(gap=tag == "p")
        elif tag in _BLOCKS or tag in _LINES:
            if tag in _LISTS and self._lists:
                self._lists.pop()
            self._end_line(gap=tag in _BLOCKS and not (tag in _LISTS and self._lists))
            self._headings -= tag in _HEADINGS
            self._prefix = ""

    def words(self, text: str) -> None:
        self._words.append(text)

    def block(self, text: str, inner: bool = False) -> None:
        """Add lines as they are; inside another table, as words of the cell."""
        if inner:
            lines = [line for line in text.split("\n") if set(line) - set("|-")]
            inside = (line.strip("| ").replace(" | ", ", ") for line in lines)
            self._words.append(f" {'; '.join(inside)} ")
            return
        self._end_line(gap=True)
        if text:
            self._add(text)
            self._lines.append("")

    def preformatted(self, text: str) -> None:
        """Code keeps its lines, fenced, so that a `# comment` in it is not taken for a heading."""
        fence = "~~~" if "```" in text else "```"
        if text.strip():
            self.block(f"{fence}\n{text.strip(chr(10))}\n{fence}")

    def finish(self) -> str:
        self._end_line()
        return "\n".join(self._lines).strip()

    def _open_list(self, tag: str, attributes: dict[str, str | None]) -> None:
        outer = self._lists[-1] if self._lists else None
        indent = outer.indent + len(outer.marker) if outer is not None else 0
        start = (attributes.get("start") or "").strip()
        number = int(start) if start.lstrip("-").isdecimal() else 1
        step = -1 if "reversed" in attributes else 1
        kind = (attributes.get("type") or "1") if tag == "ol" else ""
        self._lists.append(_List(number, step, kind, min(indent, 40)))

    def _item(self, attributes: dict[str, str | None]) -> None:
        if not self._lists:  # an item without its list
            self._prefix = "- "
            return
        own = self._lists[-1]
        told = (attributes.get("value") or "").strip()
        if told.lstrip("-").isdecimal():
            own.number = int(told)
        own.marker = f"{_counted(own.number, own.kind)}. " if own.kind else "- "
        own.number += own.step
        self._prefix = " " * own.indent + own.marker

    def _close_link(self) -> None:
        if not self._links:
            return
        lines, words, address = self._links.pop()
        if not address or lines != len(self._lines) or words > len(self._words):
            return
        inside = "".join(self._words[words:])
        text = " ".join(inside.split())
        if text and address not in (text, f"mailto:{text}", f"https://{text}", f"http://{text}"):
            before = " " if inside[0].isspace() else ""
            after = " " if inside[-1].isspace() else ""
            self._words[words:] = [f"{before}[{text}]({address}){after}"]

    def _soft_end(self, gap: bool = False) -> None:
        if self._headings:
            self._words.append(" ")
        else:
            self._end_line(gap)

    def _end_line(self, gap: bool = False) -> None:
        line = " ".join(plain("".join(self._words)).split())
        self._words.clear()
        if line and line != "~~~~":
            self._add((self._prefix or self._indent()) + line)
            self._prefix = ""
        if gap and self._lines and self._lines[-1] and not self._prefix:
            self._lines.append("")

    def _indent(self) -> str:
        """Of a further line of a list's item, so that it stays a part of it."""
        own = self._lists[-1] if self._lists else None
        return " " * (own.indent + len(own.marker)) if own is not None and own.marker else ""

    def _add(self, line: str) -> None:
        self._characters += len(line) + 1
        self.limits.check_characters(self._characters)
        self._lines.append(line)


def _address(attributes: dict[str, str | None]) -> str:
    """Where a link leads, if that is somewhere else than in the page."""
    told = (attributes.get("href") or "").strip()
    scheme = told.partition(":")[0].lower() if ":" in told else ""
    if not told or told.startswith("#") or scheme in ("javascript", "data", "blob"):
        return ""
    return told.replace(" ", "%20").replace(")", "%29")[:_LONGEST_ADDRESS]


def _counted(number: int, kind: str) -> str:
    """A list's number as it counts: figures, letters or Roman figures."""
    told = {"a": letters, "i": roman}.get(kind.lower(), str)(number)
    return told.lower() if kind.islower() else told
