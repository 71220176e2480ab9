"""What a paragraph's or a run's style says of it, with what it inherits."""

import re
from dataclasses import dataclass

from parser.readers.word.names import Element, W, on, val

_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
_CONTENTS = re.compile(r"toc \d|table of (?:figures|authorities)", re.IGNORECASE)
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Style:
    """`level`: of a heading, 0 for none. `number`, `depth`: of a list, where it has one."""

    level: int = 0
    number: str | None = None
    depth: int | None = None
    hidden: bool = False
    contents: bool = False
    """An entry of a table of contents."""
    raised: bool = False
    struck: bool = False
    shaded: bool = False
    """It stands on a colour of its own."""


class Styles:
    """The styles of a file, by their ids."""

    def __init__(self, root: Element | None) -> None:
        self._elements: dict[str, Element] = {}
        self._known: dict[str | None, Style] = {}
        self._default: str | None = None
        for style in () if root is None else root.iter(W + "style"):
            name = style.get(W + "styleId") or ""
            self._elements[name] = style
            if style.get(W + "type") == "paragraph" and style.get(W + "default") in ("1", "true"):
                self._default = name

    def paragraph(self, style_id: str | None) -> Style:
        """The style of a paragraph; without an id the default one."""
        return self.get(style_id if style_id in self._elements else self._default)

    def get(self, style_id: str | None, depth: int = 0) -> Style:
        """The style of that id, or one that says nothing."""
        if style_id not in self._known:
            element = self._elements.get(style_id or "")
            if element is None or depth > _DEEPEST:
                return Style()
            based_on = val(element.find(W + "basedOn"))
            parent = self.get(based_on, depth + 1) if based_on else Style()
            self._known[style_id] = _style(element, parent)
        return self._known[style_id]


def _style(element: Element, parent: Style) -> Style:
    name = val(element.find(W + "name")) or ""
    paragraph, run = element.find(W + "pPr"), element.find(W + "rPr")
    level, number, depth = parent.level, parent.number, parent.depth
    if match := _HEADING.fullmatch(name):
        level = min(int(match[1]), 6)
    elif name.lower() == "title":
        level = 1
    elif paragraph is not None and (outline := val(paragraph.find(W + "outlineLvl"))):
        level = outline_level(outline)
    if paragraph is not None and (listed := paragraph.find(W + "numPr")) is not None:
        number = val(listed.find(W + "numId")) or number
        told = val(listed.find(W + "ilvl"))
        depth = int(told) if told and told.isdecimal() else depth
    hidden, raised, struck = parent.hidden, parent.raised, parent.struck
    if run is not None:
        hidden = on(run.find(W + "vanish")) if run.find(W + "vanish") is not None else hidden
        if (align := val(run.find(W + "vertAlign"))) is not None:
            raised = align == "superscript"
        if run.find(W + "strike") is not None:
            struck = on(run.find(W + "strike"))
    shaded = parent.shaded or (paragraph is not None and paragraph.find(W + "shd") is not None)
    return Style(
        level, number, depth, hidden, bool(_CONTENTS.fullmatch(name)) or parent.contents,
        raised, struck, shaded,
    )  # fmt: skip


def outline_level(told: str) -> int:
    """A heading's level by its outline level, which is 9 for text."""
    return min(int(told) + 1, 6) if told.isdecimal() and int(told) < 9 else 0
