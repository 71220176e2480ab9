"""Render examples/source/*.md into examples/documents: `python examples/build.py [FOLDER]`.

A source is named after what it becomes: `handbook.pdf.md` is rendered to `handbook.pdf`. The same
sources give the same bytes every time: no clock, no random ids, and no compression, because the
output of zlib differs between its builds.
"""

import html
import io
import re
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import docx
from docx.enum.style import WD_STYLE_TYPE
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import cm
from reportlab.platypus import (
    Flowable,
    KeepTogether,
    ListFlowable,
    ListItem,
    Paragraph,
    SimpleDocTemplate,
    Table,
    TableStyle,
)

HERE = Path(__file__).parent
AUTHOR = "Northwind Harbour Platform Operations"
WRITTEN = datetime(2026, 11, 2, 9, 0)


class Block(NamedTuple):
    """One element: `heading` (with its level), `text`, `bullets`, `steps` or `table`."""

    kind: str
    lines: list[str]
    level: int = 0

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table, header first, without the rule under the header."""
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in self.lines]
        return [cells[0], *cells[2:]]


def parse(markdown: str) -> list[Block]:
    """Read the subset of Markdown that the sources use; blocks are separated by blank lines."""
    return [_block(part.splitlines()) for part in re.split(r"\n\s*\n", markdown.strip())]


def _block(lines: list[str]) -> Block:
    if heading := re.match(r"(#{1,3}) (.+)$", lines[0]):
        if len(lines) > 1:
            raise ValueError(f"a heading needs a blank line after it: {lines[0]!r}")
        return Block("heading", [heading[2]], len(heading[1]))
    if lines[0].startswith("|"):
        return Block("table", lines)
    for kind, marker in (("bullets", r"- "), ("steps", r"\d+\. ")):
        if re.match(marker, lines[0]):
            items = re.split(rf"\n(?={marker})", "\n".join(lines))
            return Block(kind, [" ".join(re.sub(rf"^{marker}", "", i).split()) for i in items])
    return Block("text", [" ".join(" ".join(lines).split())])


def _title(blocks: list[Block]) -> str:
    if blocks[0].kind != "heading" or blocks[0].level != 1:
        raise ValueError("a source starts with its title as a level 1 heading")
    return blocks[0].lines[0]


def _spans(text: str) -> Iterator[tuple[str, bool]]:
    """Split text into (words, is code) at backticks."""
    for position, words in enumerate(text.split("`")):
        if words:
            yield words, position % 2 == 1


def _markup(text: str, opening: str, closing: str) -> str:
    """Escape text for XML, with its code spans between the two given tags."""
    escaped = ((html.escape(words, quote=False), code) for words, code in _spans(text))
    return "".join(f"{opening}{words}{closing}" if code else words for words, code in escaped)


# Markdown and plain text


def to_markdown(source: str) -> bytes:
    return source.encode()


def to_text(source: str) -> bytes:
    """Plain text, wrapped at 78 columns, headings underlined."""
    parts: list[str] = []
    for block in parse(source):
        lines = [line.replace("`", "") for line in block.lines]
        if block.kind == "heading":
            parts.append(f"{lines[0]}\n{'=-~'[block.level - 1] * len(lines[0])}")
        elif block.kind == "text":
            parts.append(_wrap(lines[0], ""))
        elif block.kind == "table":
            raise ValueError("a table has no plain text form here")
        else:
            numbered = block.kind == "steps"
            items = [(f"{n}. " if numbered else "- ", line) for n, line in enumerate(lines, 1)]
            parts.append("\n".join(_wrap(line, marker) for marker, line in items))
    return ("\n\n".join(parts) + "\n").encode()


def _wrap(text: str, marker: str) -> str:
    return textwrap.fill(
        text,
        78,
        initial_indent=marker,
        subsequent_indent=" " * len(marker),
        break_long_words=False,
        break_on_hyphens=False,
    )


# HTML

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="author" content="{author}">
<title>{title}</title>
<style>body {{ font: 1rem/1.5 sans-serif; max-width: 44rem }} nav li {{ display: inline }}</style>
<script>window.pageViews = (window.pageViews || 0) + 1; console.log("harbour intranet");</script>
</head>
<body>
<header>
<nav><ul><li><a href="/">Intranet home</a></li><li><a href="/canteen">Canteen menu</a></li>
<li><a href="/logout">Log out</a></li></ul></nav>
</header>
<main>
{body}
</main>
<footer><p>Northwind Harbour intranet. Print this page.</p></footer>
</body>
</html>
"""


def to_html(source: str) -> bytes:
    """A page as an intranet would serve it, with a menu, a style and a script around the text."""
    blocks = parse(source)
    body = "\n".join(_html_block(block) for block in blocks)
    title = html.escape(_title(blocks), quote=False)
    return PAGE.format(author=AUTHOR, title=title, body=body).encode()


def _html_block(block: Block) -> str:
    def inline(text: str) -> str:
        return _markup(text, "<code>", "</code>")

    if block.kind == "heading":
        return f"<h{block.level}>{inline(block.lines[0])}</h{block.level}>"
    if block.kind == "text":
        return f"<p>{inline(block.lines[0])}</p>"
    if block.kind == "table":
        head, *body = block.rows
        rows = [f"<tr>{''.join(f'<th>{inline(cell)}</th>' for cell in head)}</tr>"]
        rows += [f"<tr>{''.join(f'<td>{inline(cell)}</td>' for cell in row)}</tr>" for row in body]
        return "<table>\n" + "\n".join(rows) + "\n</table>"
    tag = "ul" if block.kind == "bullets" else "ol"
    items = "\n".join(f"<li>{inline(item)}</li>" for item in block.lines)
    return f"<{tag}>\n{items}\n</{tag}>"


# Word

TABLE_STYLE = "Light Grid Accent 1"


def to_docx(source: str) -> bytes:
    blocks = parse(source)
    document = _blank()
    properties = document.core_properties
    properties.title = _title(blocks)
    properties.author = properties.last_modified_by = AUTHOR
    properties.created = properties.modified = WRITTEN
    properties.comments = ""
    for block in blocks:
        if block.kind == "heading":
            document.add_heading(block.lines[0], block.level - 1)
        elif block.kind == "table":
            table = document.add_table(0, len(block.rows[0]), TABLE_STYLE)
            for row in block.rows:
                for cell, text in zip(table.add_row().cells, row, strict=True):
                    _docx_runs(cell.paragraphs[0], text)
        elif block.kind == "steps":
            raise ValueError("Word would number all step lists as one: use bullets")
        else:
            style = "List Bullet" if block.kind == "bullets" else None
            for line in block.lines:
                _docx_runs(document.add_paragraph(style=style), line)
    written = io.BytesIO()
    document.save(written)
    return _stored(written)


def _blank() -> Any:
    """An empty document without the template's parts that nothing here uses: 95% of its bytes."""
    document = docx.Document()
    for style in list(document.styles):
        if style.type == WD_STYLE_TYPE.TABLE and style.name not in ("Normal Table", TABLE_STYLE):
            style.delete()
    for relations in (document.part.rels, document.part.package.rels):
        for key, relation in list(relations.items()):
            if relation.reltype.endswith(("/stylesWithEffects", "/thumbnail")):
                del relations[key]
    return document


def _docx_runs(paragraph: Any, text: str) -> None:
    for words, code in _spans(text):
        run = paragraph.add_run(words)
        if code:
            run.font.name = "Courier New"


def _stored(archive: io.BytesIO) -> bytes:
    """The same zip without times and compression."""
    plain = io.BytesIO()
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(plain, "w") as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name), old.read(name))
    return plain.getvalue()


# PDF

_BASE = ParagraphStyle("base", fontName="Helvetica", fontSize=12, leading=17, spaceAfter=8)
_CELL = ParagraphStyle("cell", _BASE, fontSize=10, leading=13, spaceAfter=0)
_HEADINGS = {
    level: ParagraphStyle(
        f"heading{level}",
        _BASE,
        fontName="Helvetica-Bold",
        fontSize=size,
        leading=size * 1.25,
        spaceBefore=before,
        spaceAfter=8,
    )
    for level, size, before in ((1, 22, 0), (2, 15, 16), (3, 12, 8))
}
_GRID = TableStyle(
    [
        ("GRID", (0, 0), (-1, -1), 0.5, colors.grey),
        ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
)  # fmt: skip


def to_pdf(source: str) -> bytes:
    """A4 pages with a running title, page numbers and bookmarks; no paragraph crosses a page."""
    blocks = parse(source)
    title = _title(blocks)
    written = io.BytesIO()
    template = _Paged(
        written,
        pagesize=A4,
        lang="en",
        title=title,
        author=AUTHOR,
        creator=AUTHOR,
        subject="Working papers",
        leftMargin=2.9 * cm,
        rightMargin=2.9 * cm,
        topMargin=2.6 * cm,
        bottomMargin=2.4 * cm,
        invariant=1,
        pageCompression=0,
    )
    # A frame pads its content by 6 points on each side.
    template.build(_flow(blocks, template.width - 12), onFirstPage=_number, onLaterPages=_frame)
    return written.getvalue()


def _flow(blocks: list[Block], width: float) -> list[Flowable]:
    """Keep each block on one page, and each heading with the block after it."""
    flow: list[Flowable] = []
    headings: list[Flowable] = []
    for block in blocks:
        if block.kind == "heading":
            headings.append(_pdf_block(block, width))
        else:
            flow.append(KeepTogether([*headings, _pdf_block(block, width)]))
            headings = []
    if headings:
        raise ValueError("a source must not end with a heading")
    return flow


class _Paged(SimpleDocTemplate):  # type: ignore[misc, unused-ignore]  # reportlab is untyped
    def afterFlowable(self, flowable: Flowable) -> None:
        """Put each heading into the document's outline."""
        level = getattr(flowable, "outline_level", None)
        if level is not None:
            key = f"heading-{self.seq.nextf('heading')}"
            self.canv.bookmarkPage(key)
            self.canv.addOutlineEntry(flowable.getPlainText(), key, level)


def _frame(canvas: Any, template: SimpleDocTemplate) -> None:
    canvas.setFont("Helvetica", 9)
    canvas.drawString(template.leftMargin, A4[1] - 1.6 * cm, template.title)
    _number(canvas, template)


def _number(canvas: Any, template: SimpleDocTemplate) -> None:
    canvas.setFont("Helvetica", 9)
    canvas.drawCentredString(A4[0] / 2, 1.4 * cm, f"Page {canvas.getPageNumber()}")


def _pdf_block(block: Block, width: float) -> Flowable:
    def inline(text: str, style: ParagraphStyle) -> Paragraph:
        return Paragraph(_markup(text, '<font face="Courier">', "</font>"), style)

    if block.kind == "heading":
        heading = inline(block.lines[0], _HEADINGS[block.level])
        heading.outline_level = block.level - 1
        return heading
    if block.kind == "text":
        return inline(block.lines[0], _BASE)
    if block.kind == "table":
        cells = [[inline(cell, _CELL) for cell in row] for row in block.rows]
        columns = zip(*block.rows, strict=True)
        sizes = [max(8, min(40, max(map(len, column)))) for column in columns]
        widths = [width * size / sum(sizes) for size in sizes]
        return Table(cells, widths, style=_GRID, repeatRows=1, spaceAfter=10)
    items = [ListItem(inline(item, _BASE)) for item in block.lines]
    if block.kind == "bullets":
        return ListFlowable(items, bulletType="bullet", start="•", leftIndent=14)
    return ListFlowable(items, bulletType="1", bulletFormat="%s.", leftIndent=20)


RENDERERS: dict[str, Callable[[str], bytes]] = {
    ".md": to_markdown, ".txt": to_text, ".html": to_html, ".docx": to_docx, ".pdf": to_pdf,
}  # fmt: skip


def build(folder: Path) -> list[Path]:
    """Render every source into the folder and return the files written, in order of name."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for source in sorted((HERE / "source").glob("*.md")):
        target = folder / source.stem
        target.write_bytes(RENDERERS[target.suffix](source.read_text(encoding="utf-8")))
        written.append(target)
    return written


if __name__ == "__main__":
    for path in build(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "documents"):
        print(path)
