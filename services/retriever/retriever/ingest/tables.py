"""Tables in a text, as Markdown writes them: where they lie, and what stands above their rows."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_RULE = re.compile(r"^[ \t:|-]+\r?$", re.MULTILINE)
_CELL = re.compile(r"[ \t]*:?-+:?[ \t]*")
_WORD = re.compile(r"\w")
_MOST_HEADER = 300
"""Characters of a header that rows are told; the columns beyond go without."""


class Table(NamedTuple):
    """A table: code-point offsets of its header's line, of its first row, and of its end."""

    start: int
    body: int
    end: int
    header: str
    """The header's line; empty where it holds no word."""


def tables(text: str) -> Iterator[Table]:
    """The tables in order: a line with bars, a rule below it, and lines with bars."""
    end = 0
    for rule in _RULE.finditer(text):
        if rule.start() < end or not _is_rule(rule[0]):
            continue
        start = text.rfind("\n", 0, max(0, rule.start() - 1)) + 1
        head = text[start : rule.start()].strip()
        if start < end or "|" not in head:
            continue
        body = end = min(rule.end() + 1, len(text))
        while end < len(text):
            following = text.find("\n", end) + 1 or len(text)
            if "|" not in text[end:following]:
                break
            end = following
        header = _cut(head) if _WORD.search(head) else ""
        yield Table(start, body, end, header)


def header_above(found: Sequence[Table], offset: int) -> str:
    """The header of the table whose rows `offset` is among; empty where it is among none's."""
    before = bisect_left(found, offset, key=lambda table: table.start) - 1
    return found[before].header if before >= 0 and offset < found[before].end else ""


def _is_rule(line: str) -> bool:
    line = line.strip()
    cells = line.removeprefix("|").removesuffix("|").split("|")
    return "|" in line and all(map(_CELL.fullmatch, cells))


def _cut(header: str) -> str:
    if len(header) <= _MOST_HEADER:
        return header
    cut = header.rfind("|", 0, _MOST_HEADER)
    return header[: cut + 1] if cut > 0 else header[:_MOST_HEADER]
