"""PowerPoint (.pptx, .pptm): a section for each visible slide, with its notes; slides are pages."""

import io
from collections.abc import Iterator
from typing import Any
from zipfile import BadZipFile

from lxml import etree
from pptx import Presentation
from pptx.enum.shapes import PP_PLACEHOLDER

from parser.archive import Archive
from parser.model import Extracted, Metadata, ParseError, Reading
from parser.readers.charts import chart
from parser.readers.word.formula import linear
from parser.readers.word.names import DGM, A, Element, M, R
from parser.readers.word.package import main_part, parsed, properties
from parser.tables import Grid, table
from parser.words import plain, raised

_AROUND = (PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER)
_LISTING = (PP_PLACEHOLDER.BODY, PP_PLACEHOLDER.OBJECT)
_DEEPEST_GROUP = 10
_LINE = 90_000
"""Shapes whose tops differ by less than this, a tenth of an inch in its unit, stand on one line."""


def extract(data: bytes, reading: Reading) -> Extracted:
    """Read a presentation. Raises ParseError `invalid`, `encrypted` or `too_large`."""
    archive = Archive(data, "The PowerPoint presentation", reading.limits)
    main_part(archive)
    told = properties(archive)
    title = told.pop("title", None)
    parts, starts, hidden, length = list[str](), list[int](), list[int](), 0
    try:
        deck = Presentation(io.BytesIO(archive.copy().getvalue()))
        for number, slide in enumerate(deck.slides, 1):
            starts.append(length)
            if slide.element.get("show") in ("0", "false"):
                hidden.append(number)
                continue
            parts.append(_slide(slide, number))
            length += len(parts[-1]) + 2
            reading.limits.check_characters(length)
    except ParseError:
        raise
    except (BadZipFile, KeyError, ValueError, TypeError, AttributeError, IndexError,
            etree.LxmlError) as error:  # fmt: skip
        raise ParseError(
            "invalid", "The PowerPoint presentation is damaged: its parts do not fit together."
        ) from error
    if hidden:
        slides = ", ".join(map(str, hidden))
        reading.warn("hidden_left_out", f"Hidden slides are left out: {slides}.", hidden)
    metadata: Metadata = dict(told)
    return Extracted("\n\n".join(parts), title, tuple(starts), metadata)


def _slide(slide: Any, number: int) -> str:
    heading = slide.shapes.title
    words = " ".join(plain(heading.text_frame.text).split()) if heading is not None else ""
    blocks = [f"## {words or f'Slide {number}'}"]
    for shape in _ordered(slide.shapes):
        if heading is not None and shape.shape_id == heading.shape_id:
            continue
        blocks += [block for block in _shape(shape, slide.part) if block.strip()]
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        notes = plain(frame.text).strip()
        if notes:
            blocks.append(f"Notes: {notes}")
    return "\n\n".join(blocks)


def _ordered(shapes: Any, depth: int = 0) -> Iterator[Any]:
    """Shapes as they are read: from top to bottom, and from left to right on one line."""
    for shape in sorted(shapes, key=lambda one: ((one.top or 0) // _LINE, one.left or 0)):
        if hasattr(shape, "shapes") and depth < _DEEPEST_GROUP:
            yield from _ordered(shape.shapes, depth + 1)
        else:
            yield shape


def _shape(shape: Any, part: Any) -> Iterator[str]:
    element = shape.element
    properties = element.find(".//{*}cNvPr")
    if properties is not None and properties.get("hidden") in ("1", "true"):
        return
    kind = shape.placeholder_format.type if shape.is_placeholder else None
    if kind in _AROUND:
        return
    if getattr(shape, "has_table", False) and shape.has_table:
        yield _table(element, part)
    elif getattr(shape, "has_chart", False) and shape.has_chart:
        yield chart(parsed(shape.chart.part.blob))
    elif shape.has_text_frame:
        yield _text(element.txBody, part, kind in _LISTING)
    elif (diagram := element.find(f".//{DGM}relIds")) is not None:
        lines = _diagram(part.related_part(diagram.get(R + "dm")).blob)
        yield "\n".join(f"- {line}" for line in lines)
    if properties is not None and (alt := " ".join((properties.get("descr") or "").split())):
        yield f"![{alt}]"


def _diagram(blob: bytes) -> list[str]:
    lines = ("".join(t.text or "" for t in p.iter(A + "t")) for p in parsed(blob).iter(A + "p"))
    return [line.strip() for line in lines if line.strip()]


def _span(cell: Element, name: str) -> int:
    told = cell.get(name) or ""
    return min(max(int(told), 1), 100) if told.isdecimal() else 1


def _table(frame: Element, part: Any) -> str:
    grid, heads = Grid(), 1
    for row in frame.iter(A + "tr"):
        cells = []
        for cell in row.findall(A + "tc"):
            if {cell.get("hMerge"), cell.get("vMerge")} & {"1", "true"}:
                continue  # another cell reaches over it
            body = cell.find(A + "txBody")
            text = "" if body is None else " ".join(_text(body, part, False).split())
            cells.append((text, _span(cell, "gridSpan"), _span(cell, "rowSpan")))
        grid.row(cells)
    return table(grid.rows(heads))


def _text(body: Element, part: Any, listing: bool) -> str:
    """A text frame's paragraphs; those of a list with their marks."""
    paragraphs = [(one, _words(one, part)) for one in body.findall(A + "p")]
    paragraphs = [(one, words) for one, words in paragraphs if words]
    counts: dict[int, int] = {}
    lines = []
    for paragraph, words in paragraphs:
        properties = paragraph.find(A + "pPr")
        level = int(properties.get("lvl") or 0) if properties is not None else 0
        numbered = properties is not None and properties.find(A + "buAutoNum") is not None
        bare = properties is not None and properties.find(A + "buNone") is not None
        marked = properties is not None and properties.find(A + "buChar") is not None
        counts = {deep: count for deep, count in counts.items() if deep <= level}
        mark = ""
        if numbered:
            start = (
                properties.find(A + "buAutoNum").get("startAt") if properties is not None else None
            )
            counts[level] = counts[level] + 1 if level in counts else int(start or 1)
            mark = f"{counts[level]}. "
        else:
            counts.pop(level, None)
            if marked or (not bare and (level or (listing and len(paragraphs) > 1))):
                mark = "- "
        before = "  " * level + mark
        lines.append(before + words.replace("\n", "\n" + " " * len(before)))
    return "\n".join(lines)


def _words(paragraph: Element, part: Any) -> str:
    parts: list[str] = []
    for child in paragraph:
        if child.tag in (A + "r", A + "fld"):
            if (child.get("type") or "").startswith("slidenum"):
                continue
            parts.append(_run(child, part))
        elif child.tag == A + "br":
            parts.append("\n")
        else:
            formulas = child.iter(M + "oMath")
            parts += [f"${' '.join(linear(one).split())}$" for one in formulas]
    return plain("".join(parts)).replace("\v", "\n").strip()


def _run(run: Element, part: Any) -> str:
    text = "".join(one.text or "" for one in run.findall(A + "t"))
    properties = run.find(A + "rPr")
    if properties is None or not text.strip():
        return text
    if int(properties.get("baseline") or 0) > 0:
        text = raised(text)
    if properties.get("strike") in ("sngStrike", "dblStrike"):
        text = f"~~{text}~~"
    link = properties.find(A + "hlinkClick")
    relation = part.rels.get(link.get(R + "id") or "") if link is not None else None
    if relation is not None and relation.is_external and relation.target_ref not in text:
        return text.replace(text.strip(), f"[{text.strip()}]({relation.target_ref})")
    return text
