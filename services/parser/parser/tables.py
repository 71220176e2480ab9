"""Tables as Markdown: a header, a rule, a line for each row."""

import re
from collections.abc import Iterable, Sequence

_SPACE = re.compile(r"\s+")


def table(rows: Iterable[Sequence[str]], headed: bool = True) -> str:
    """`rows` as a Markdown table, empty where no cell holds a word.

    The first of them is its header, unless it is not `headed`: then that is empty.

    Rows and columns without a word are left out; ragged rows are filled up.
    """
    cleaned = [[cell(one) for one in row] for row in rows]
    cleaned = [row for row in cleaned if any(row)]
    width = max(map(len, cleaned), default=0)
    filled = [row + [""] * (width - len(row)) for row in cleaned]
    kept = [n for n in range(width) if any(row[n] for row in filled)]
    if not kept:
        return ""
    body = ["| " + " | ".join(row[n] for n in kept) + " |" for row in filled]
    head = body.pop(0) if headed else "|" + "  |" * len(kept)
    return "\n".join((head, "|" + "---|" * len(kept), *body))


def cell(text: str) -> str:
    """A cell's text on one line; a bar in it is escaped, as Markdown wants it."""
    return _SPACE.sub(" ", text).strip().replace("|", "\\|")


class Grid:
    """A table whose cells span rows and columns: what a cell covers holds its text again."""

    def __init__(self) -> None:
        self._rows: list[list[str]] = []
        self._below: dict[int, tuple[int, str]] = {}
        """By column: for how many rows more a cell above covers it, and with what."""

    def row(self, cells: Iterable[tuple[str, int, int]]) -> None:
        """Add a row of cells, each its text, the columns and the rows that it spans."""
        row: list[str] = []

        def covered() -> None:
            while (above := self._below.get(len(row))) is not None:
                left, text = above
                if left > 1:
                    self._below[len(row)] = left - 1, text
                else:
                    del self._below[len(row)]
                row.append(text)

        for text, columns, rows in cells:
            covered()
            for _ in range(columns):
                if rows > 1:
                    self._below[len(row)] = rows - 1, text
                row.append(text)
        covered()
        self._rows.append(row)

    def rows(self, heads: int = 1) -> list[list[str]]:
        """The rows; the first `heads` of them joined into one, each text once a column."""
        width = max(map(len, self._rows), default=0)
        filled = [row + [""] * (width - len(row)) for row in self._rows]
        if heads < 2 or len(filled) <= heads:
            return filled
        head = [
            " ".join(dict.fromkeys(filter(None, column)))
            for column in zip(*filled[:heads], strict=True)
        ]
        return [head, *filled[heads:]]
