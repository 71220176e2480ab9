"""Notebooks: their text as it is, code in fences, and what it printed; no pictures."""

import json
import re
from collections.abc import Iterator
from typing import Any

from parser.charset import decode
from parser.model import Extracted, ParseError, Reading
from parser.readers import html, markdown

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LONGEST_OUTPUT = 20_000


def extract(data: bytes, reading: Reading) -> Extracted:
    """Read a Jupyter notebook. Raises ParseError `invalid`."""
    try:
        notebook = json.loads(decode(data, reading, reading.charset))
    except (ValueError, RecursionError) as error:
        raise ParseError("invalid", "The notebook is not valid JSON.") from error
    if not isinstance(notebook, dict):
        raise ParseError("invalid", "The notebook is no JSON object.")
    about = _mapping(notebook.get("metadata"))
    language = str(_mapping(about.get("kernelspec")).get("language") or "python")
    language = str(_mapping(about.get("language_info")).get("name") or language)
    cells = notebook.get("cells")
    if not isinstance(cells, list):  # nbformat 3
        sheets = notebook.get("worksheets")
        cells = [
            cell
            for sheet in (sheets if isinstance(sheets, list) else [])
            for cell in _listed(_mapping(sheet).get("cells"))
        ]
    parts = [part for cell in cells for part in _cell(_mapping(cell), language, reading)]
    title = about.get("title")
    text = "\n\n".join(part for part in parts if part.strip())
    return Extracted(text, title if isinstance(title, str) else None)


def _cell(cell: dict[str, Any], language: str, reading: Reading) -> Iterator[str]:
    source = _text(cell.get("source", cell.get("input")))
    match cell.get("cell_type"):
        case "markdown":
            yield markdown.read(source).text.strip("\n")
        case "code":
            if source.strip():
                yield _fenced(source, language)
            for output in _listed(cell.get("outputs")):
                yield from _output(_mapping(output), reading)
        case "heading":
            level = cell.get("level")
            yield "#" * (level if isinstance(level, int) and 0 < level < 7 else 1) + f" {source}"
        case "raw":
            yield source


def _output(output: dict[str, Any], reading: Reading) -> Iterator[str]:
    if output.get("output_type") == "error":
        yield _plain(f"{output.get('ename')}: {output.get('evalue')}", reading)
        return
    data = _mapping(output.get("data", output))
    if told := _text(data.get("text/markdown")):
        yield markdown.read(told).text
    elif "<table" in (page := _text(data.get("text/html"))).lower():
        yield html.read(page, reading, whole=True).text
    elif told := _text(data.get("text/plain", data.get("text"))):
        yield _plain(told, reading)


def _plain(text: str, reading: Reading) -> str:
    text = _ESCAPES.sub("", text)
    if len(text) > _LONGEST_OUTPUT:
        reading.warn("cut_short", f"An output of more than {_LONGEST_OUTPUT:,} characters is cut.")
        text = text[:_LONGEST_OUTPUT]
    return _fenced(text, "") if text.strip() else ""


def _fenced(text: str, language: str) -> str:
    fence = "~~~" if "```" in text else "```"
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


def _text(told: Any) -> str:
    if isinstance(told, list):
        return "".join(part for part in told if isinstance(part, str))
    return told if isinstance(told, str) else ""


def _mapping(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}


def _listed(told: Any) -> list[Any]:
    return told if isinstance(told, list) else []
