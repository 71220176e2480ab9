"""Word (.docx, .docm, strict) to Markdown: what a reader of the document sees, in its order.

Deleted and hidden text, comments, headers and footers and the table of contents are left out;
notes stand where they are referred to.
"""

from parser.archive import Archive
from parser.model import Extracted, ParseLimits, Reading
from parser.readers.charts import chart
from parser.readers.word.names import Element, M, W, on, val
from parser.readers.word.numbering import Numbering
from parser.readers.word.package import Part, main_part, properties
from parser.readers.word.runs import Inline, drawn_words
from parser.readers.word.styles import Style, Styles, outline_level
from parser.tables import Grid, table

_PARAGRAPH, _TABLE, _ROW, _CELL = W + "p", W + "tbl", W + "tr", W + "tc"
_INNER = frozenset(
    W + name for name in ("sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo")
)
_DEEPEST = 40
_DEFAULT_TITLE = "Word Document"  # python-docx's, where nobody chose a title


def extract(data: bytes, reading: Reading) -> Extracted:
    """Read a Word document. Raises ParseError `invalid`, `encrypted` or `too_large`."""
    archive = Archive(data, "The Word file", reading.limits)
    main = Part.open(archive, main_part(archive))
    body = _Body(main, reading.limits)
    blocks = body.blocks(main.root)
    if body.inline.hidden:
        reading.warn(
            "hidden_left_out", f"{body.inline.hidden:,} characters of hidden text are left out."
        )
    if main.root.find(f".//{W}altChunk") is not None:
        reading.warn("not_read", "Another document is embedded in this one; it is not read.")
    told = properties(archive)
    title = told.pop("title", None)
    text = _joined(blocks)
    reading.limits.check_characters(len(text))
    return Extracted(text, None if title == _DEFAULT_TITLE else title, metadata=dict(told))


def _joined(blocks: list[tuple[str, bool]]) -> str:
    """Blocks with an empty line between them; the items of a list follow each other."""
    parts: list[str] = []
    item_before = False
    for text, item in blocks:
        if parts:
            parts.append("\n" if item and item_before else "\n\n")
        parts.append(text)
        item_before = item
    return "".join(parts)


class _Body:
    """Writes paragraphs and tables as blocks: a text, and whether it is an item of a list."""

    def __init__(self, main: Part, limits: ParseLimits) -> None:
        self._main = main
        self._limits = limits
        styles, numbering = main.other("styles"), main.other("numbering")
        self._styles = Styles(styles.root if styles is not None else None)
        self._numbering = Numbering(numbering.root if numbering is not None else None)
        self._notes: dict[str, dict[str | None, Element]] = {}
        self._note_parts: dict[str, Part] = {}
        self._open_notes = 0
        self.inline = Inline(main, self._styles, self._note)
        self._characters = 0

    def blocks(self, root: Element, depth: int = 0) -> list[tuple[str, bool]]:
        found: list[tuple[str, bool]] = []
        if depth > _DEEPEST:
            return found
        for child in root:
            if child.tag == _PARAGRAPH:
                found += self._paragraph(child, depth)
            elif child.tag == _TABLE:
                found += self._table(child, depth)
            elif child.tag == M + "oMathPara" or child.tag == W + "body" or child.tag in _INNER:
                found += self.blocks(child, depth + 1)
        return found

    def _paragraph(self, paragraph: Element, depth: int) -> list[tuple[str, bool]]:
        told = paragraph.find(W + "pPr")
        style_id = val(told.find(W + "pStyle")) if told is not None else None
        style = self._styles.paragraph(style_id)
        if style.contents:
            return []
        text = self.inline.text(paragraph, style)
        level = style.level
        if told is not None and (outline := val(told.find(W + "outlineLvl"))):
            level = outline_level(outline) or level
        label, indent = self._label(told, style_id, style)
        found: list[tuple[str, bool]] = []
        if text:
            found.append(_block(text, level, label, indent))
            self._characters += len(text)
            self._limits.check_characters(self._characters)
        boxes, self.inline.boxes = self.inline.boxes, []
        for box in boxes:
            found += self.blocks(box, depth + 1)
        charts, self.inline.charts = self.inline.charts, []
        for relationship in charts:
            part = self._main.by_id(relationship)
            drawn = "" if part is None else chart(part.root) or drawn_words(part)
            if drawn:
                found.append((drawn, False))
        return found

    def _label(
        self, told: Element | None, style_id: str | None, style: Style
    ) -> tuple[str | None, int]:
        """The number or bullet before a paragraph, none where it has neither, and its depth."""
        number, depth = style.number, style.depth
        listed = told.find(W + "numPr") if told is not None else None
        if listed is not None:
            number = val(listed.find(W + "numId")) or number
            level = val(listed.find(W + "ilvl"))
            depth = int(level) if level and level.isdecimal() else depth
        if not number or number == "0":
            return None, 0
        if depth is None:
            depth = self._numbering.level_of(number, style_id)
        return self._numbering.count(number, depth), depth

    def _table(self, element: Element, depth: int) -> list[tuple[str, bool]]:
        rows = list(_rows(element))
        if max((sum(1 for _ in _cells(row)) for row in rows), default=0) < 2:  # it only frames
            return [
                one for row in rows for cell in _cells(row) for one in self.blocks(cell, depth + 1)
            ]
        grid, heads, above = Grid(), 0, dict[int, str]()
        for n, row in enumerate(rows):
            properties = row.find(W + "trPr")
            heads += heads == n and properties is not None and on(properties.find(W + "tblHeader"))
            grid.row(self._row(row, properties, above, depth))
        text = table(grid.rows(max(1, heads)))
        return [(text, False)] if text else []

    def _row(
        self, row: Element, properties: Element | None, above: dict[int, str], depth: int
    ) -> list[tuple[str, int, int]]:
        cells: list[tuple[str, int, int]] = []
        column = 0
        if properties is not None and (skipped := val(properties.find(W + "gridBefore"))):
            column = min(int(skipped), 100) if skipped.isdecimal() else 0
            cells += [("", 1, 1)] * column
        for cell in _cells(row):
            told = cell.find(W + "tcPr")
            span, merge = (
                (val(told.find(W + "gridSpan")), told.find(W + "vMerge"))
                if told is not None
                else (None, None)
            )
            width = min(max(int(span), 1), 100) if span and span.isdecimal() else 1
            if merge is not None and val(merge) != "restart":
                text = above.get(column, "")
            else:
                text = " ".join(one.replace("|", ",") if "|---" in one else one
                                for one, _ in self.blocks(cell, depth + 1))  # fmt: skip
            above[column] = text
            cells.append((text, width, 1))
            column += width
        return cells

    def _note(self, kind: str, note_id: str | None) -> str:
        """A note's text, for the place that refers to it; a note within a note has none."""
        if self._open_notes:
            return ""
        if kind not in self._notes:
            part = self._main.other(kind)
            tag = W + kind.removesuffix("s")
            self._notes[kind] = (
                {one.get(W + "id"): one for one in part.root.iter(tag)} if part is not None else {}
            )
            if part is not None:
                self._note_parts[kind] = part
        note = self._notes[kind].get(note_id)
        if note is None:
            return ""
        self._open_notes += 1
        outer, self.inline = self.inline, Inline(self._note_parts[kind], self._styles, self._note)
        text = " ".join(text for text, _ in self.blocks(note))
        outer.hidden += self.inline.hidden
        self.inline = outer
        self._open_notes -= 1
        return " ".join(text.split())


def _block(text: str, level: int, label: str | None, indent: int) -> tuple[str, bool]:
    if level:
        return "#" * level + " " + " ".join(f"{label or ''} {text}".split()), False
    if label is None:
        return text, False
    before = "  " * min(indent, 8) + (f"{label} " if label else "- ")
    return before + text.replace("\n", "\n" + " " * len(before)), True


def _rows(element: Element) -> list[Element]:
    """A table's own rows, without those that were deleted."""
    found: list[Element] = []
    for child in element:
        if child.tag == _ROW:
            properties = child.find(W + "trPr")
            if properties is None or properties.find(W + "del") is None:
                found.append(child)
        elif child.tag in _INNER:
            found += _rows(child)
    return found


def _cells(row: Element) -> list[Element]:
    found: list[Element] = []
    for child in row:
        if child.tag == _CELL:
            found.append(child)
        elif child.tag in _INNER:
            found += _cells(child)
    return found
