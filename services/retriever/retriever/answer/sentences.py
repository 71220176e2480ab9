"""Text into sentences, as exact spans."""

import regex

# A sentence ends at . ! ? (with closing quotes or brackets) before white space, at the full-width
# marks anywhere, before an empty line, a list item, a table row or a heading, and after a heading.
# Not after an initial or a common abbreviation, nor where a paragraph is merely wrapped.
_END = regex.compile(
    r"""(?<!\b(?:[A-Z]|e\.g|i\.e|cf|vs|etc|approx|no|nr|fig|eq|sec|ch|pp?|vol|ed|al|
              mr|mrs|ms|dr|prof|sr|jr|st|gen|col|lt|capt|inc|ltd|corp|co|dept|univ|
              jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)(?=\.))
        (?<!^[ \t]*\d{1,3}(?=\.))  # the number of a list item
        [.!?…]+["'”’»)\]]*(?=\s)
      | [。！？]+[」』”’)]*
      | (?=\r?\n[ \t]*(?:\r?\n|[-*+•#|>]|\d{1,3}[.)]\s))
      | (?<=^\#[^\n]*)(?=\n)""",
    regex.VERBOSE | regex.IGNORECASE | regex.MULTILINE,
)
_MARKS = frozenset(".!?…。！？\n")
_SPACE = regex.compile(r"\s*")


_LONGEST_END = 32  # characters from a sentence's last mark to what shows that it was its last


def boundary(text: str, start: int = 0, seen: int = 0) -> int | None:
    """Where the sentence that begins at `start` ends, or none while no end is in sight.

    The end of the text is no end: a stream may go on. White space at `start` belongs to nothing.
    `seen` says how much of the text had no end when it was looked at before.
    """
    first = _SPACE.match(text, start)
    assert first is not None
    begin = max(first.end(), seen - _LONGEST_END)
    if _MARKS.isdisjoint(text[begin:]):  # most pieces of a stream; a tenth of the pattern's time
        return None
    found = _END.search(text, begin)
    return found.end() if found else None


def sentences(text: str) -> list[tuple[int, int]]:
    """The spans of the sentences of `text`, in order, without white space around them."""
    spans: list[tuple[int, int]] = []
    start = 0
    while True:
        end = boundary(text, start)
        whole = text[start:] if end is None else text[start:end]
        stripped = whole.strip()
        if stripped:
            begin = start + whole.index(stripped[0])
            spans.append((begin, begin + len(stripped)))
        if end is None:
            return spans
        start = end
