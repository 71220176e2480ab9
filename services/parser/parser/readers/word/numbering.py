"""The numbers that Word writes before list items and headings, which its files do not hold."""

from dataclasses import dataclass, field

from parser.counting import letters, roman
from parser.readers.word.names import Element, W, on, val

_LEVELS = 9
_UNNUMBERED = frozenset(("bullet", "none"))


@dataclass
class _Level:
    start: int = 1
    kind: str = "decimal"
    text: str = ""
    legal: bool = False
    style: str | None = None
    restarts: bool = True


@dataclass
class _Abstract:
    """A list as it is defined: several may be counted on together."""

    levels: list[_Level]
    counts: list[int | None] = field(default_factory=lambda: [None] * _LEVELS)


@dataclass
class _Number:
    """A list as paragraphs name it."""

    abstract: _Abstract
    levels: list[_Level]
    restarts: dict[int, int]


class Numbering:
    """Counts the paragraphs of every list, in the document's order."""

    def __init__(self, root: Element | None) -> None:
        self._numbers: dict[str, _Number] = {}
        if root is None:
            return
        elements = {one.get(W + "abstractNumId"): one for one in root.iter(W + "abstractNum")}
        # A list may say that it is another's, by the style that both name.
        linked = {
            val(one.find(W + "styleLink")): one
            for one in elements.values()
            if one.find(W + "styleLink") is not None
        }
        abstracts: dict[str | None, _Abstract] = {}
        for key, one in elements.items():
            target = linked.get(val(one.find(W + "numStyleLink")), one)
            abstracts[key] = _Abstract(_levels(target))
        for number in root.iter(W + "num"):
            abstract = abstracts.get(val(number.find(W + "abstractNumId")))
            if abstract is not None:
                self._numbers[number.get(W + "numId") or ""] = _number(number, abstract)

    def level_of(self, number: str, style_id: str | None) -> int:
        """The level of a list that belongs to a paragraph style."""
        known = self._numbers.get(number)
        levels = known.levels if known is not None else []
        return next((n for n, level in enumerate(levels) if level.style == style_id), 0)

    def count(self, number: str, depth: int) -> str | None:
        """Count a paragraph at `depth` of list `number`; its label, "" for a bullet.

        None where there is no such list.
        """
        known = self._numbers.get(number)
        if known is None or not 0 <= depth < _LEVELS:
            return None
        counts = known.abstract.counts
        if depth in known.restarts:
            counts[depth] = known.restarts.pop(depth) - 1
            counts[depth + 1 :] = [None] * (_LEVELS - depth - 1)
        level = known.levels[depth]
        before = counts[depth]
        counts[depth] = level.start if before is None else before + 1
        for deeper in range(depth + 1, _LEVELS):
            if known.levels[deeper].restarts:
                counts[deeper] = None
        for higher in range(depth):
            if counts[higher] is None:
                counts[higher] = known.levels[higher].start
        if level.kind in _UNNUMBERED and "%" not in level.text:
            return ""
        return _label(known.levels, counts, level)


def _levels(abstract: Element) -> list[_Level]:
    levels = [_Level() for _ in range(_LEVELS)]
    for one in abstract.findall(W + "lvl"):
        depth = one.get(W + "ilvl") or "0"
        if depth.isdecimal() and int(depth) < _LEVELS:
            levels[int(depth)] = _level(one)
    return levels


def _level(element: Element) -> _Level:
    start = val(element.find(W + "start")) or "1"
    return _Level(
        start=int(start) if start.isdecimal() else 1,
        kind=val(element.find(W + "numFmt")) or "decimal",
        text=val(element.find(W + "lvlText")) or "",
        legal=on(element.find(W + "isLgl")),
        style=val(element.find(W + "pStyle")),
        restarts=val(element.find(W + "lvlRestart")) != "0",
    )


def _number(element: Element, abstract: _Abstract) -> _Number:
    levels, restarts = list(abstract.levels), {}
    for override in element.findall(W + "lvlOverride"):
        told = override.get(W + "ilvl") or "0"
        if not told.isdecimal() or int(told) >= _LEVELS:
            continue
        if (level := override.find(W + "lvl")) is not None:
            levels[int(told)] = _level(level)
        start = val(override.find(W + "startOverride"))
        if start is not None and start.isdecimal():
            restarts[int(told)] = int(start)
    return _Number(abstract, levels, restarts)


def _label(levels: list[_Level], counts: list[int | None], level: _Level) -> str:
    label = level.text
    for depth in range(_LEVELS):
        if f"%{depth + 1}" in label:
            kind = "decimal" if level.legal else levels[depth].kind
            label = label.replace(f"%{depth + 1}", counted(counts[depth] or 0, kind))
    return label.strip()


def counted(number: int, kind: str) -> str:
    """A number as a list of that kind writes it."""
    if kind in _UNNUMBERED:
        return ""
    if kind in ("lowerLetter", "upperLetter") and number > 0:
        repeats, place = divmod(number - 1, 26)  # after z comes aa, then bb
        told = letters(place + 1) * (repeats + 1)
    elif kind in ("lowerRoman", "upperRoman"):
        told = roman(number)
    else:
        return f"{number:02}" if kind == "decimalZero" else str(number)
    return told.lower() if kind.startswith("lower") else told
