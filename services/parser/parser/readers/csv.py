"""CSV and its relatives: a table, by whatever delimiter the file has."""

import csv
import re
from collections import Counter
from collections.abc import Iterator

from parser.charset import decode
from parser.model import Extracted, Reading
from parser.tables import table

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 50
_SAMPLE_CHARACTERS = 64 * 1024
_TOLD = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)  # Excel's own line for other programs
_VALUE = re.compile(r"[-+]?\d+[.,:/-]\d[\d.,:/ -]*")
"""A decimal, a date or a time: no column is called so, and a row that holds one is no header."""
_LONGEST_FIELD = 1 << 20


def extract(data: bytes, reading: Reading) -> Extracted:
    """Read a file of separated values. Raises ParseError `unsupported` or `too_large`."""
    text = decode(data, reading, reading.charset)
    told = _TOLD.match(text)
    text = text[told.end() :] if told is not None else text
    delimiter = told[1] if told is not None else _delimiter(text)
    rows = [[" ".join(cell.split()) for cell in row] for row in _rows(text, delimiter)]
    before, body = _headed(rows)
    parts = [" ".join(filter(None, row)) for row in before if any(row)]
    if max(map(len, body), default=0) > 1:
        parts.append(table(body, headed=not any(map(_VALUE.fullmatch, body[0]))))
    else:
        parts.append(_lines(body))
    return Extracted("\n\n".join(filter(None, parts)))


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST_FIELD)
    lines = iter(text.splitlines(keepends=True))
    try:
        yield from csv.reader(lines, delimiter=delimiter)
    except csv.Error:  # a quote that nothing closes, a NUL: the rest as it stands
        yield from (line.rstrip("\r\n").split(delimiter) for line in lines)


def _delimiter(text: str) -> str:
    """The delimiter that gives most rows the same number of cells, more than one."""
    sample = text[:_SAMPLE_CHARACTERS]
    best, score = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        rows = [row for _, row in zip(range(_SAMPLE_ROWS), _rows(sample, delimiter), strict=False)]
        widths = Counter(len(row) for row in rows if any(row))
        if not widths:
            continue
        width, count = max(widths.items(), key=lambda one: (one[1] * (one[0] > 1), one[0]))
        found = (count / widths.total() if width > 1 else 0.0, width)
        if found > score:
            best, score = delimiter, found
    return best


def _headed(rows: list[list[str]]) -> tuple[list[list[str]], list[list[str]]]:
    """What stands above the table's header, such as a title, and the table."""
    width = max((len([cell for cell in row if cell]) for row in rows), default=0)
    for n, row in enumerate(rows[:_SAMPLE_ROWS]):
        if len([cell for cell in row if cell]) > max(1, width // 2):
            return rows[:n], rows[n:]
    return [], rows


def _lines(rows: list[list[str]]) -> str:
    return "\n".join(row[0] for row in rows if row and row[0])
