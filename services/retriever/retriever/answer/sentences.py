"""Text into sentences, as exact spans, in time linear in the text whatever it holds."""

import re

# A sentence ends at . ! ? (with closing quotes or brackets) before white space, at the full-width
# marks anywhere, before an empty line, a list item, a table row or a heading, and after a heading.
# Not after an initial or a common abbreviation, nor where a paragraph is merely wrapped.
_MARK = re.compile(r"[.!?…]+|[。！？]+|\r?\n")
_CLOSED = re.compile(r"[\"'”’»)\]]{0,8}+(?=\s)")
_CLOSED_WIDE = re.compile(r"[」』”’)]{0,8}+")
_NEW_BLOCK = re.compile(r"\r?\n[ \t]{0,24}+(?:\r?\n|[-*+•#|>]|\d{1,3}[.)]\s)")
_ABBREVIATION = re.compile(
    r"""\b(?:[a-z]|e\.g|i\.e|cf|vs|etc|approx|no|nr|fig|eq|sec|ch|pp?|vol|ed|al|
             mr|mrs|ms|dr|prof|sr|jr|st|gen|col|lt|capt|inc|ltd|corp|co|dept|univ|
             jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\Z""",
    re.VERBOSE | re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"^[ \t]{0,24}\d{1,3}\Z", re.MULTILINE)
_SPACE = re.compile(r"\s*+")
_A_SPACE = re.compile(r"\s")

_LONGEST_ABBREVIATION, _LONGEST_NUMBER = 6, 27
_LONGEST_END = 40  # characters from a sentence's last mark to what shows that it was its last
LONGEST_LINE = 300
"""Characters of a line before a sentence that can matter to where it ends."""
_LONG, _LONGEST = 2000, 4000
"""Characters after which a sentence ends at the next space, or anywhere: it is a table, or junk."""


def boundary(text: str, start: int = 0, seen: int = 0) -> int | None:
    """Where the sentence that begins at `start` ends, or none while no end is in sight.

    The end of the text is no end: a stream may go on. White space at `start` belongs to nothing.
    `seen` says how much of the text had no end when it was looked at before.
    """
    space = _SPACE.match(text, start)
    assert space is not None
    first = space.end()
    cut = _cut(text, first)
    for mark in _MARK.finditer(text, max(first, seen - _LONGEST_END), cut):
        end = _end(text, mark)
        if end is not None:
            return min(end, cut)
    return cut if cut < len(text) else None


def sentences(text: str) -> list[tuple[int, int]]:
    """The spans of the sentences of `text`, in order, without white space around them."""
    spans: list[tuple[int, int]] = []
    start = 0
    while True:
        end = boundary(text, start)
        whole = text[start:end]
        stripped = whole.strip()
        if stripped:
            begin = start + whole.index(stripped[0])
            spans.append((begin, begin + len(stripped)))
        if end is None:
            return spans
        start = end


def _cut(text: str, first: int) -> int:
    """Where a sentence from `first` on ends at the latest; the text's end where that is no cut."""
    if len(text) <= first + _LONG:
        return len(text)
    space = _A_SPACE.search(text, first + _LONG, first + _LONGEST)
    return space.start() if space else min(len(text), first + _LONGEST)


def _end(text: str, mark: re.Match[str]) -> int | None:
    """Where the sentence with this mark ends, if it is its last one."""
    start, after = mark.span()
    if text[start] in "\r\n":
        if _NEW_BLOCK.match(text, start):
            return start
        return after - 1 if _is_heading(text, after - 1) else None
    if text[start] in "。！？":
        closed = _CLOSED_WIDE.match(text, after)
    elif mark[0] == "." and _ends_nothing(text, start):
        return None
    else:
        closed = _CLOSED.match(text, after)
    return closed.end() if closed else None


def _ends_nothing(text: str, point: int) -> bool:
    """Whether the point follows an initial, a common abbreviation or the number of a list item."""
    if text[max(0, point - 1)].isdigit():
        return bool(_LIST_NUMBER.search(text, max(0, point - _LONGEST_NUMBER), point))
    return bool(_ABBREVIATION.search(text, max(0, point - _LONGEST_ABBREVIATION), point))


def _is_heading(text: str, end: int) -> bool:
    """Whether the line that ends at `end` is a Markdown heading."""
    before = max(0, end - LONGEST_LINE)
    line = text.rfind("\n", before, end) + 1
    return (line > 0 or before == 0) and text.startswith("#", line)
