"""A page's words in the order in which they are read, as Markdown.

The words and their order are PDFium's: a page is nearly always drawn as it is read. liteparse's
blocks say what is a heading or a table, and where columns stand that were drawn line by line.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from liteparse.types import LayoutBlock

from parser.readers.pages.hyphens import Hyphens
from parser.readers.pages.words import HYPHEN, Page, Word
from parser.tables import table

_SENTENCE_ENDS = (*".!?:;\u2026", "\u3002", "\uff01", "\uff1f")
_LIST_ITEM = re.compile(
    r"(?:\[[ x]\]|[-*\u00b7\u2013\u2014\u2022\u2023\u25aa\u25cf\u25e6\u25cb\uf0b7]"
    r"|\(?(?:\d{1,3}|[A-Za-z])[.)])(?:\s|$)"
)
_MARKER = re.compile(r"\(?\w{1,3}[.)]|[-*\u00b7\u2013\u2022\u25aa\u25cf\u25e6]")
_FAR = 60.0
_RECENT = 8
_LEADERS = re.compile(r"(?:\s*\.){5,}\s*")
_FULL_LINE = 0.75
"""A line that reaches this far towards the block's right edge was cut by the margin."""
_NARROW = 0.25
"""Of the page's width: what is narrower lists labels more often than it is prose."""
_LONG_LINE = 0.3
"""Of the page's width, from which what ends with a full line may break off a sentence."""
_PARAGRAPH_GAP = 1.7
"""Of the usual step between lines, from which a gap ends a paragraph."""
_SLACK = 2.0
_LEAST_IN_CELLS = 0.9
_WIDE_GAP = 3.0


@dataclass(slots=True)
class Line:
    """Words next to each other on one line."""

    words: list[Word]

    @property
    def text(self) -> str:
        """Its words with single spaces."""
        return _LEADERS.sub(" \u2026 ", " ".join(word.text for word in self.words))

    @property
    def x0(self) -> float:
        return min(word.x0 for word in self.words)

    @property
    def x1(self) -> float:
        return max(word.x1 for word in self.words)

    @property
    def y0(self) -> float:
        return self.words[0].y0

    @property
    def height(self) -> float:
        return self.words[0].height


@dataclass(slots=True, eq=False)
class _Zone:
    """A block and the words in it."""

    block: LayoutBlock | None
    words: list[Word] = field(default_factory=list)


def lines(words: Sequence[Word]) -> list[Line]:
    """Words, in the order in which PDFium gives them, as lines."""
    found: list[Line] = []
    for word in words:
        if found:
            last = found[-1].words[-1]
            height = max(1.0, min(word.y1 - word.y0, last.y1 - last.y0))
            apart = abs(word.y0 + word.y1 - last.y0 - last.y1)  # twice the middles' distance
            behind = word.x0 > last.x0 - _SLACK and last.text[-1:] != HYPHEN
            if behind and apart < 1.2 * height:
                found[-1].words.append(word)
                continue
            if _MARKER.fullmatch(word.text) and (own := _item(word, found)) is not None:
                own.words.insert(0, word)
                continue
        found.append(Line([word]))
    return found


def _item(marker: Word, found: Sequence[Line]) -> Line | None:
    """The line that a list's marker stands before, where that was drawn after it."""
    for line in reversed(found[-_RECENT:]):
        first = line.words[0]
        apart = abs(marker.y0 + marker.y1 - first.y0 - first.y1)
        if apart < 0.5 * first.height and 0 < first.x0 - marker.x1 + _SLACK < _FAR:
            return line
    return None


def compose(page: Page, blocks: Sequence[LayoutBlock], hyphens: Hyphens) -> tuple[str, bool]:
    """The page as Markdown, and whether its last line reaches the margin, so that it may go on."""
    parts: list[str] = []
    running: list[Line] = []
    full = False

    def prose() -> None:
        nonlocal full
        was_full = full
        if running:
            left, right = min(line.x0 for line in running), max(line.x1 for line in running)
            wide = right - left > _LONG_LINE * page.width
            full = wide and running[-1].x1 - left > _FULL_LINE * (right - left)
        text = _prose(running, hyphens, page.width)
        running.clear()
        if not text.strip():
            return
        if parts and _goes_on(parts[-1].rpartition("\n")[2], text, was_full):
            parts[-1] = _joined([parts[-1], text], hyphens)
        else:
            parts.append(text)

    for zone in _zones(page, blocks):
        kind = zone.block.kind if zone.block is not None else ""
        rows = _cells(zone) if kind == "table" else []
        found = lines(zone.words)
        if rows or kind == "heading":
            prose()
            full = False
            parts.append(table(rows) if rows else _heading(zone, found, hyphens))
            continue
        if running and not _follows(running[-1], found[0]):
            prose()
        running += found
    prose()
    return "\n\n".join(filter(None, parts)), full


def _heading(zone: _Zone, found: list[Line], hyphens: Hyphens) -> str:
    level = (zone.block.level if zone.block is not None else None) or 1
    return "#" * min(level, 6) + " " + _joined([line.text for line in found], hyphens)


def _follows(line: Line, other: Line) -> bool:
    """Whether a line stands right below another, as the next of the same column does."""
    gap = other.y0 - (line.y0 + line.height)
    return -line.height < gap < line.height and other.x0 < line.x1 and line.x0 < other.x1


def goes_on(before: str, after: str) -> bool:
    """Whether a sentence that ends a text without a full stop goes on in the next."""
    last = before.rstrip().rpartition("\n")[2]
    return _goes_on(last, after.lstrip())


def _goes_on(before: str, after: str, full: bool = False) -> bool:
    if not before or not after or before.startswith(("#", "|")) or after.startswith(("#", "|")):
        return False
    if before.endswith(HYPHEN):
        return True
    opens = after[0].islower() or (full and after[0].isdigit() and not before[-1].isdigit())
    return opens and not before.endswith(_SENTENCE_ENDS) and not _LIST_ITEM.match(after)


def joined(before: str, after: str, hyphens: Hyphens) -> str:
    """Two texts of which the second goes on where the first broke off."""
    return _joined([before, after], hyphens)


def _zones(page: Page, blocks: Sequence[LayoutBlock]) -> list[_Zone]:
    zones = [
        _Zone(block) for block in blocks if block.kind not in ("rule", "figure") and block.bbox
    ]
    if page.turned or not zones:
        return [_Zone(None, page.words)]
    boxes = [
        (one.x - _SLACK, one.y - _SLACK, one.x + one.width + _SLACK, one.y + one.height + _SLACK)
        for zone in zones
        if zone.block is not None and (one := zone.block.bbox) is not None
    ]
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]
    runs: list[_Zone] = []
    """Zones as PDFium's order meets them; a word that is in no block is in one of its own."""
    last = -1
    for word in page.words:
        x, y = (word.x0 + word.x1) / 2, (word.y0 + word.y1) / 2
        if (
            runs
            and not (last >= 0 and _inside(boxes[last], x, y))
            and _next_to(runs[-1].words[-1], word)
        ):
            runs[-1].words.append(word)  # the block was cut short
            continue
        if last < 0 or not _inside(boxes[last], x, y):  # most are where the one before is
            around = [n for n, box in enumerate(boxes) if _inside(box, x, y)]
            last = min(around, key=areas.__getitem__) if around else -1
        zone = zones[last] if last >= 0 else None
        if zone is None:
            zone = runs[-1] if runs and runs[-1].block is None else _Zone(None)
        if not runs or runs[-1] is not zone:
            runs.append(zone)
        zone.words.append(word)
    return list(dict.fromkeys(runs))


def _next_to(word: Word, other: Word) -> bool:
    """Whether a word stands right behind another on its line."""
    height = min(word.height, other.height)
    level = abs(word.y0 + word.y1 - other.y0 - other.y1) < 0.5 * height
    return level and -_SLACK < other.x0 - word.x1 < 0.5 * height


def _inside(box: tuple[float, float, float, float], x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _cells(zone: _Zone) -> list[list[str]]:
    """A table's rows, the header first; none where its cells do not hold its words."""
    block = zone.block
    if block is None or not block.rows:
        return []
    rows = [block.header, *block.rows] if block.header else list(block.rows)
    found: list[list[str]] = []
    left = list(zone.words)
    for row in rows:
        texts = []
        for cell in row:
            box = cell.bbox
            own: list[Word] = []
            if box is not None:
                edges = (
                    box.x - _SLACK,
                    box.y - _SLACK,
                    box.x + box.width + _SLACK,
                    box.y + box.height + _SLACK,
                )
                own = [word for word in left if _inside(edges, (word.x0 + word.x1) / 2, word.level)]
                taken = {id(word) for word in own}
                left = [word for word in left if id(word) not in taken]
            texts.append(" ".join(line.text for line in lines(own)).replace(HYPHEN + " ", ""))
        found.append(texts)
    return found if len(left) <= (1 - _LEAST_IN_CELLS) * len(zone.words) else []


def _prose(found: list[Line], hyphens: Hyphens, page_width: float) -> str:
    """Lines as paragraphs: what the margin cut is joined again."""
    if not found:
        return ""
    left = min(line.x0 for line in found)
    width = max(line.x1 for line in found) - left
    full, narrow = left + _FULL_LINE * width, width < _NARROW * page_width
    steps = sorted(
        after.y0 - before.y0
        for before, after in pairwise(found)
        if 0 < after.y0 - before.y0 < _WIDE_GAP * before.height
    )
    step = steps[len(steps) // 2] if steps else 0.0
    paragraphs: list[list[list[str]]] = [[[found[0].text]]]
    for before, after in pairwise(found):
        gap = after.y0 - before.y0
        text = after.text
        broken = before.text.endswith((HYPHEN, "-"))
        wrapped = (
            broken
            or (
                before.x1 >= full
                and not before.text.endswith(_SENTENCE_ENDS)
                and not _LIST_ITEM.match(text)
                and "\u2026 " not in before.text  # an entry of a table of contents
                and not (narrow and text[:1].isupper())
            )
        )
        if step and gap > _PARAGRAPH_GAP * step and not broken:
            paragraphs.append([[text]])
        elif wrapped:
            paragraphs[-1][-1].append(text)
        else:
            paragraphs[-1].append([text])
    return "\n\n".join(
        "\n".join(_joined(cut, hyphens) for cut in paragraph) for paragraph in paragraphs
    )


def _joined(texts: Sequence[str], hyphens: Hyphens) -> str:
    """Lines as one; a word that was broken at a line's end is made whole."""
    whole = texts[0]
    for text in texts[1:]:
        if whole.endswith(HYPHEN):
            whole = hyphens.join(whole.removesuffix(HYPHEN), text)
        elif len(whole) > 1 and whole.endswith("-") and whole[-2].isalnum() and text[:1].isalnum():
            whole = hyphens.join(whole.removesuffix("-"), text)
        else:
            whole = f"{whole} {text}"
    return whole
