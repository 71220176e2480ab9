"""How fast each kind of document is read: pages, characters and megabytes a second of one core.

    .venv/bin/python -m bench.parsing [--against CHECKOUT]

The files are made here, of the same prose. `--against` reads them with an earlier checkout's reader
too, turn by turn in the same run, and gives the ratio: the time here over the time there.
"""

import io
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import docx
import openpyxl
import typer
from pptx import Presentation
from reportlab.pdfgen.canvas import Canvas
from rich.console import Console
from rich.table import Table

_PAGES = 100
_LINES = 45  # of a page
_WORDS = re.findall(r"\w+", "harbour crane lifts forty tonnes from quay while pilots board at noon")
_READ_HERE = """
import sys, time
from pathlib import Path
from parser.model import Ocr, ParseLimits
from parser.parse import parse
read = lambda data, name: parse(data, name, None, ParseLimits(), Ocr())
"""
_READ_BEFORE = """
import sys, time
from pathlib import Path
from retriever.ingest.parse import ParseLimits, parse
read = lambda data, name: parse(data, name, None, ParseLimits())
"""
_LOOP = """
for line in sys.stdin:
    path = Path(line.strip())
    data = path.read_bytes()
    started = time.process_time()
    text = read(data, path.name).text
    print(time.process_time() - started, len(text), flush=True)
"""


def _line(chance: random.Random) -> str:
    return " ".join(chance.choice(_WORDS) for _ in range(13)).capitalize() + "."


def _pdf(pages: list[list[str]]) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out)
    for n, page in enumerate(pages):
        canvas.drawString(40, 820, "Harbour manual")
        for row, line in enumerate(page):
            canvas.drawString(40, 790 - 16 * row, line)
        canvas.drawString(280, 20, str(n + 1))
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def _html(pages: list[list[str]]) -> bytes:
    parts = [f"<h2>Part {n}</h2><p>{'<p>'.join(page)}" for n, page in enumerate(pages)]
    return f"<title>Manual</title><body>{''.join(parts)}".encode()


def _saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _word(pages: list[list[str]]) -> bytes:
    document = docx.Document()
    for n, page in enumerate(pages):
        document.add_heading(f"Part {n}", 2)
        for line in page:
            document.add_paragraph(line)
    return _saved(document)


def _workbook(pages: list[list[str]]) -> bytes:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Data")
    for n, line in enumerate(line for page in pages for line in page):
        sheet.append([n, n / 7, line])
    return _saved(book)


def _slides(pages: list[list[str]]) -> bytes:
    deck = Presentation()
    for page in pages:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.placeholders[1].text_frame.text = "\n".join(page[:10])
    return _saved(deck)


_KINDS: dict[str, Callable[[list[list[str]]], bytes]] = {
    "a.pdf": _pdf,
    "a.docx": _word,
    "a.html": _html,
    "a.md": lambda pages: "\n\n".join(line for page in pages for line in page).encode(),
    "a.csv": lambda pages: "\n".join(
        f"{n},{line}" for n, page in enumerate(pages) for line in page
    ).encode(),
    "a.xlsx": _workbook,
    "a.pptx": _slides,
}


class Reader:
    """A process that reads files, one after another."""

    def __init__(self, code: str, folders: list[Path]) -> None:
        path = ":".join(map(str, folders))
        self._process = subprocess.Popen(
            [sys.executable, "-c", code + _LOOP],
            env={"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def read(self, file: Path) -> tuple[float, int] | None:
        """Processor seconds and characters; none where it cannot read such a file."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(f"{file}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        seconds, _, characters = self._process.stdout.readline().partition(" ")
        return (float(seconds), int(characters)) if characters else None


def main(
    against: Annotated[Path | None, typer.Option(help="An earlier checkout.")] = None,
    runs: Annotated[int, typer.Option(help="Times that each file is read; the best counts.")] = 5,
) -> None:
    """Read a file of each kind."""
    chance = random.Random(7)  # noqa: S311 - words to read
    pages = [[_line(chance) for _ in range(_LINES)] for _ in range(_PAGES)]
    rows = Table("kind", "MB", "pages/s", "MB/s", "characters/s", "ratio")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in _KINDS.items():
            rows.add_row(*_timed(Path(folder) / name, make(pages), against, runs))
    Console().print(rows)


def _timed(file: Path, data: bytes, against: Path | None, runs: int) -> Iterator[str]:
    """The cells of a file's row."""
    root = Path(__file__).parents[2] / "services"
    file.write_bytes(data)
    here = Reader(_READ_HERE, [root / "core", root / "parser"])
    there = against and Reader(
        _READ_BEFORE, [against / "services" / one for one in ("core", "retriever")]
    )
    best, before, characters = float("inf"), float("inf"), 0
    for _ in range(runs):
        if found := here.read(file):
            best, characters = min(best, found[0]), found[1]
        if there and (found := there.read(file)):
            before = min(before, found[0])
    size = len(data) / 1e6
    yield file.suffix[1:]
    yield f"{size:.2f}"
    yield f"{_PAGES / best:,.0f}" if file.suffix in (".pdf", ".pptx") else ""
    yield f"{size / best:.2f}"
    yield f"{characters / best:,.0f}"
    if there:
        yield f"{best / before:.2f}" if before < float("inf") else "not read"


if __name__ == "__main__":
    typer.run(main)
