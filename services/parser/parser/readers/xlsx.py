"""Excel (.xlsx, .xlsm): each visible sheet as tables, its numbers as they are shown."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from zipfile import BadZipFile

from lxml import etree
from openpyxl import load_workbook
from openpyxl.utils.cell import range_boundaries

from parser.archive import Archive
from parser.model import Extracted, Metadata, ParseError, Reading
from parser.numberformat import shown
from parser.readers.word.names import Element, R
from parser.readers.word.package import Part, main_part, properties
from parser.tables import table

S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_OF_OPENPYXL = (
    *(BadZipFile, etree.LxmlError, SyntaxError, OSError),
    *(KeyError, IndexError, ValueError, TypeError, AttributeError),
)
"""What it raises over a damaged file: whatever its parts do, and no error of its own."""
_MOST_CELLS = 1_000_000
_MOST_COLUMNS = 500
_MOST_MERGED = 10_000
_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")

Rows = list[tuple[int, dict[int, str]]]
"""By row and column, from 1: the cells that hold something."""


@dataclass
class _Layout:
    """What of a sheet its cells do not say."""

    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Left column, top row, right column, bottom row."""
    formulas: dict[tuple[int, int], str] = field(default_factory=dict)
    """By row and column: formulas whose value the file does not hold."""


def extract(data: bytes, reading: Reading) -> Extracted:
    """Read a workbook. Raises ParseError `invalid`, `encrypted` or `too_large`."""
    archive = Archive(data, "The Excel workbook", reading.limits)
    main = Part.open(archive, main_part(archive))
    try:
        copy = io.BytesIO(archive.copy().getvalue())
        workbook = load_workbook(copy, read_only=True, data_only=True, keep_links=False)
    except _OF_OPENPYXL as error:
        raise _damaged() from error
    parts, hidden = list[str](), list[str]()
    left, unknown, gone = _MOST_CELLS, 0, [0, 0]
    for sheet in main.root.iter(S + "sheet"):
        name = sheet.get("name") or ""
        part = main.by_id(sheet.get(R + "id"))
        if sheet.get("state", "visible") != "visible":
            hidden.append(name)
            continue
        if part is None or name not in workbook.sheetnames:
            continue
        own = workbook[name]
        if own not in workbook.worksheets:
            continue  # a sheet of a chart alone
        own.reset_dimensions()  # what it says of them would be filled with empty cells
        layout = _layout(part.root)
        try:
            rows = _cells(own, layout, left)
        except _OF_OPENPYXL as error:
            raise _damaged() from error
        left -= sum(len(cells) for _, cells in rows)
        unknown += len(layout.formulas)
        gone[0] += len(layout.hidden_rows)
        gone[1] += len(layout.hidden_columns)
        blocks = [*_blocks(_visible(rows, layout)), *_notes(part)]
        if blocks:
            parts.append("\n\n".join((f"## {name}", *blocks)))
        reading.limits.check_characters(sum(map(len, parts)))
        if left <= 0:
            reading.warn("cut_short", f"Of the workbook {_MOST_CELLS:,} cells are read.")
            break
    _warn(hidden, gone, unknown, reading)
    told = properties(archive)
    title = told.pop("title", None)
    metadata: Metadata = dict(told)
    return Extracted("\n\n".join(parts), title, metadata=metadata)


def _damaged() -> ParseError:
    return ParseError("invalid", "The Excel workbook is damaged: its parts do not fit together.")


def _warn(hidden: list[str], gone: list[int], unknown: int, reading: Reading) -> None:
    if hidden:
        names = ", ".join(f"\u201c{name}\u201d" for name in hidden[:10])
        reading.warn("hidden_left_out", f"Hidden sheets are left out: {names}.")
    if any(gone):
        reading.warn(
            "hidden_left_out",
            f"{gone[0]:,} hidden rows and {gone[1]:,} hidden columns are left out.",
        )
    if unknown:
        reading.warn(
            "unknown_values",
            f"{unknown:,} cells hold formulas whose values the file does not; the formulas stand"
            " there instead.",
        )


def _layout(root: Element) -> _Layout:
    layout = _Layout()
    for column in root.iter(S + "col"):
        if column.get("hidden") in ("1", "true"):
            first, last = int(column.get("min") or 1), int(column.get("max") or 1)
            layout.hidden_columns |= set(range(first, min(last, first + _MOST_COLUMNS) + 1))
    for row in root.iter(S + "row"):
        if row.get("hidden") in ("1", "true") and (told := row.get("r") or "").isdecimal():
            layout.hidden_rows.add(int(told))
    for merged in root.iter(S + "mergeCell"):
        try:
            edges = range_boundaries(merged.get("ref") or "")
        except ValueError:
            continue
        if all(isinstance(edge, int) for edge in edges):
            layout.merged.append(edges)
    for formula in root.iter(S + "f"):
        cell = formula.getparent()
        value = cell.find(S + "v") if cell is not None else None
        if cell is None or (value is not None and value.text) or not formula.text:
            continue
        if match := _REFERENCE.fullmatch(cell.get("r") or ""):
            layout.formulas[int(match[2]), _column(match[1])] = f"={formula.text}"
    return layout


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _cells(sheet: Any, layout: _Layout, most: int) -> Rows:
    rows: Rows = []
    count = 0
    for row in sheet.iter_rows():
        cells = {
            cell.column: text
            for cell in row
            if cell.value is not None and (text := shown(cell.value, cell.number_format)).strip()
        }
        if not cells:
            continue
        number = next(cell.row for cell in row if cell.value is not None)
        rows.append((number, cells))
        count += len(cells)
        if count >= most:
            break
    known = dict(rows)
    for (number, column), formula in layout.formulas.items():
        known.setdefault(number, {}).setdefault(column, formula)
    for left, top, right, bottom in layout.merged:
        said = known.get(top, {}).get(left)
        if said is not None and (right - left + 1) * (bottom - top + 1) <= _MOST_MERGED:
            for number in range(top, bottom + 1):
                for column in range(left, right + 1):
                    known.setdefault(number, {}).setdefault(column, said)
    return sorted(known.items())


def _visible(rows: Rows, layout: _Layout) -> Rows:
    return [
        (number, {n: text for n, text in cells.items() if n not in layout.hidden_columns})
        for number, cells in rows
        if number not in layout.hidden_rows
    ]


def _blocks(rows: Rows) -> Iterator[str]:
    """Tables and lines of text; an empty row ends a table."""
    block: list[dict[int, str]] = []
    before = 0
    for number, cells in [*rows, (1 << 30, {})]:
        if block and number > before + 1:
            yield from _block(block)
            block = []
        before = number
        if cells:
            block.append(cells)


def _block(rows: list[dict[int, str]]) -> Iterator[str]:
    """A title or a note stands in one cell above its table's header."""
    width = max(map(len, rows))
    while rows and len(set(rows[0].values())) == 1 and width > 1:
        yield next(iter(rows.pop(0).values()))
    if not rows:
        return
    if width == 1:
        yield "\n".join(text for cells in rows for text in cells.values())
        return
    columns = sorted({column for cells in rows for column in cells})[:_MOST_COLUMNS]
    yield table([cells.get(column, "") for column in columns] for cells in rows)


def _notes(part: Part) -> Iterator[str]:
    """What people noted at cells."""
    comments = part.other("comments")
    if comments is not None:
        for one in comments.root.iter(S + "comment"):
            text = " ".join("".join(t.text or "" for t in one.iter(S + "t")).split())
            if text:
                yield f"Note at {one.get('ref')}: {text}"
