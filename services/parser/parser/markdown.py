"""Headings of a Markdown text: where they stand, their level, their words.

ATX headings only (`# Title`), outside fenced code. That is what our own extractors write and what
nearly every Markdown file uses; an underlined heading is still a good border for the splitter, only
not in a trail.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# A longer line is a paragraph that somebody marked up as a heading.
MAX_HEADING_CHARACTERS = 200

# Possessive throughout: linear in the text, whatever it holds.
_MARKED_LINE = re.compile(
    rf"^ {{0,3}}(?:(?P<fence>`{{3,}}+|~{{3,}}+)(?P<info>[^\r\n]*+)"
    rf"|(?P<marks>#{{1,6}}+)[ \t](?P<words>[^\r\n]{{0,{MAX_HEADING_CHARACTERS}}}+))\r?$",
    re.MULTILINE,
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
        elif not fence:
            words = _CLOSING_MARKS.sub("", match["words"].strip())
            words = words.replace("**", "").replace("`", "").strip()
            if words:
                yield Heading(match.start(), len(match["marks"]), words)
