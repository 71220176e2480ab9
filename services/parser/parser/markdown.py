"""Headings of a Markdown text: where they stand, their level, their words.

Outside fenced code: marked lines (`# Title`), which our own extractors write, and a line by itself
that is underlined with `===` or `---`.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# A longer line is a paragraph that somebody marked up as a heading.
MAX_HEADING_CHARACTERS = 200

# Possessive throughout: linear in the text, whatever it holds.
_MARKED_LINE = re.compile(
    rf"^ {{0,3}}(?:(?P<fence>`{{3,}}+|~{{3,}}+)(?P<info>[^\r\n]*+)"
    rf"|(?P<marks>#{{1,6}}+)[ \t](?P<words>[^\r\n]{{0,{MAX_HEADING_CHARACTERS}}}+)"
    r"|(?P<line>={2,}+|-{3,}+)[ \t]*+)\r?$",
    re.MULTILINE,
)
# What may be underlined: a line after none or an empty one, that is no list, quote, table or code.
_ALONE = re.compile(
    rf"(?:\A|\n\r?\n) {{0,3}}(?P<words>(?![-*+>|#~`=]|\d+[.)][ \t])[^\s|]"
    rf"[^|\r\n]{{0,{MAX_HEADING_CHARACTERS - 1}}})\r?\n\Z"
)
_CLOSING_MARKS = re.compile(r"(?:^|[ \t])#+$")


class Heading(NamedTuple):
    """One heading: code-point offset of its line, level 1 to 6, and its words without the marks."""

    offset: int
    level: int
    words: str


def headings(text: str) -> Iterator[Heading]:
    """Yield the headings of `text` in order, skipping what fenced code only shows."""
    fence = ""
    for match in _MARKED_LINE.finditer(text):
        mark = match["fence"]
        if mark:
            if not fence:
                inline = mark[0] == "`" and "`" in match["info"]  # ```code``` at a line's start
                fence = "" if inline else mark
            elif mark.startswith(fence) and not match["info"].strip():
                fence = ""
        elif match["line"]:
            above = None if fence else _ALONE.search(text, *_line_before(text, match.start()))
            if above is not None and (words := _words(above["words"])):
                yield Heading(above.start("words"), 1 if match["line"][0] == "=" else 2, words)
        elif not fence and (words := _words(_CLOSING_MARKS.sub("", match["words"].strip()))):
            yield Heading(match.start(), len(match["marks"]), words)


def _words(marked: str) -> str:
    return marked.replace("**", "").replace("`", "").strip()


def _line_before(text: str, offset: int) -> tuple[int, int]:
    """From the end of the line before the last line above `offset` up to it, bounded."""
    last = text.rfind("\n", max(0, offset - MAX_HEADING_CHARACTERS - 8), max(0, offset - 1))
    return max(0, text.rfind("\n", max(0, last - 2), max(0, last))), offset
