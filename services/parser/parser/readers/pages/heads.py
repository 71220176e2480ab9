"""Running heads and page numbers: lines at a page's edge that come again on the next pages.

Alike but for a number is only a page's number, which grows with the page: "Invoice 2041" above one
page and "Invoice 2057" above the next are what the pages say. "Invoice 2041" and "Invoice 2042"
cannot be told from numbers of pages, and are taken for such.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from parser.readers.pages.words import Page, Word

_NUMBER = re.compile(r"(\d+|\b[ivxlc]+\b)", re.IGNORECASE)
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
_BAND = 0.15
"""Of the page's height, above and below, where a head may stand."""
_MOST_LINES = 3
_NEIGHBOURS = 2
_SAME_PLACE = 6.0
_GAP = 1.5
"""Of a line's pitch, at least, between a head and the text."""


@dataclass(slots=True)
class _Row:
    """Words on one line across the whole page."""

    words: list[Word]
    y0: float
    y1: float

    @property
    def parts(self) -> list[str]:
        """What stands between numbers, and the numbers, in turns."""
        return _NUMBER.split(" ".join(word.text for word in self.words))


def remove(pages: Sequence[Page]) -> int:
    """Take the running heads out of the pages' words; how many lines went."""
    tops, bottoms = [], []
    for page in pages:
        rows = _rows(page)
        tops.append(_edge(rows, page, above=True))
        bottoms.append(_edge(rows[::-1], page, above=False))
    gone = 0
    for edges in (tops, bottoms):
        for n, page in enumerate(pages):
            near = [*range(max(0, n - _NEIGHBOURS), n), *range(n + 1, n + 1 + _NEIGHBOURS)]
            heads = [
                row
                for row in edges[n]
                if any(
                    _same(row, other, m - n) for m in near if m < len(edges) for other in edges[m]
                )
            ]
            words = {id(word) for row in heads for word in row.words}
            kept = [word for word in page.words if id(word) not in words]
            if words and kept:  # a page of nothing else says just this
                gone += len(heads)
                page.words = kept
    return gone


def _same(row: _Row, other: _Row, pages: int) -> bool:
    """Whether the line stands again `pages` pages on, a page's number counted on."""
    here, there = row.parts, other.parts
    return (
        abs(row.y0 - other.y0) < _SAME_PLACE
        and len(here) == len(there)
        and all(
            one == another or (n % 2 == 1 and _value(another) - _value(one) == pages)
            for n, (one, another) in enumerate(zip(here, there, strict=True))
        )
    )


def _value(number: str) -> int:
    """Of digits, or of a Roman numeral up to 399."""
    if number.isdecimal():
        return int(number[:9])
    digits = [_ROMAN[letter] for letter in number.lower()]
    return sum(-one if one < max(digits[n:]) else one for n, one in enumerate(digits))


def _rows(page: Page) -> list[_Row]:
    rows: list[_Row] = []
    for word in sorted(page.words, key=lambda one: one.y0 + one.y1):
        middle = (word.y0 + word.y1) / 2
        if rows and rows[-1].y0 < middle < rows[-1].y1:
            rows[-1].words.append(word)
        else:
            rows.append(_Row([word], word.y0, word.y1))
    for row in rows:
        row.words.sort(key=lambda one: one.x0)
    return rows


def _edge(rows: list[_Row], page: Page, above: bool) -> list[_Row]:
    """The rows nearest to an edge of the page that stand apart from the text."""
    found: list[_Row] = []
    for n, row in enumerate(rows[:_MOST_LINES]):
        middle = (row.y0 + row.y1) / 2
        if not (middle < _BAND * page.height if above else middle > (1 - _BAND) * page.height):
            break
        found.append(row)
        following = rows[n + 1] if n + 1 < len(rows) else None
        if following is None:
            return found
        gap = following.y0 - row.y0 if above else row.y0 - following.y0
        if gap > _GAP * (row.y1 - row.y0):
            return found
    return []
