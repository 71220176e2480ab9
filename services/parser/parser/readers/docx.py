"""Word (.docx) to text: paragraphs and tables in the document's order, headings as `#` lines.

Headers, footers, comments, footnotes and deleted text are left out. A .docx is a zip of XML, so two
doors are shut before python-docx sees it: only its XML parts are unpacked, into a copy, counting
every byte that comes out (sizes written in the zip may lie); and XML with a DTD, which Word never
writes, is refused, so there are no entities. python-docx has entity resolution off as well.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import docx
from docx.document import Document
from docx.oxml.ns import qn

from parser.model import Extracted, ParseError, ParseLimits

MAIN_PART = "word/document.xml"
MAX_PARTS = 10_000
_DEFAULT_TITLE = "Word Document"  # python-docx's, where the file has no properties

_BLOCK = 64 * 1024
_HEADING_STYLE = re.compile(r"heading ([1-9])", re.IGNORECASE)
# Both say again what stands elsewhere: a drawing for old readers, and where moved text came from.
_DOUBLES = (
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
    qn("w:moveFrom"),
)
_TEXT, _TAB, _PARAGRAPH = qn("w:t"), qn("w:tab"), qn("w:p")
_BREAKS = (qn("w:br"), qn("w:cr"))
_TABLE, _ROW, _CELL = qn("w:tbl"), qn("w:tr"), qn("w:tc")


def extract(data: bytes, limits: ParseLimits) -> Extracted:
    """Read a Word document. Raises ParseError `invalid` or `too_large`."""
    try:
        document = docx.Document(_unpacked(data, limits))
        levels = _heading_levels(document)
        body: Any = document.element.body
        for double in list(body.iter(*_DOUBLES)):
            double.getparent().remove(double)
        blocks = [block for block in _blocks(body, levels) if block]
        title = document.core_properties.title
    except ParseError:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError) as error:
        raise ParseError("invalid", "The Word file's zip archive is damaged.") from error
    except (KeyError, ValueError, TypeError, AttributeError, SyntaxError) as error:
        # python-docx and lxml (whose XMLSyntaxError is a SyntaxError): parts missing or broken.
        raise ParseError(
            "invalid", "The Word file is damaged: its parts do not fit together."
        ) from error
    text = "\n\n".join(blocks)
    limits.check_characters(len(text))
    return Extracted(text, None if title == _DEFAULT_TITLE else title)


def _unpacked(data: bytes, limits: ParseLimits) -> io.BytesIO:
    """A copy of the archive: XML parts stored uncompressed, everything else left empty."""
    copy = io.BytesIO()
    left = limits.max_expanded_bytes
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(copy, "w") as target:
        parts = {info.filename: info for info in source.infolist()}
        xml = [name for name in parts if name.lower().endswith((".xml", ".rels"))]
        if len(parts) > MAX_PARTS or sum(parts[name].file_size for name in xml) > left:
            raise _too_large(limits)
        for name, info in parts.items():
            if info.flag_bits & 1:
                raise ParseError("encrypted", "The Word file is encrypted.")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # The standard allows no other, and zipfile unpacks others without bound.
                raise ParseError(
                    "invalid", "The Word file's zip archive uses a compression Word does not."
                )
            content = bytearray()
            if name in xml:
                with source.open(info) as part:
                    while block := part.read(_BLOCK):
                        left -= len(block)
                        if left < 0:
                            raise _too_large(limits)
                        content += block
                if b"<!DOCTYPE" in content.replace(b"\0", b""):  # in UTF-8 or UTF-16
                    raise ParseError(
                        "invalid", "The Word file's XML holds a DTD, which is not accepted."
                    )
            target.writestr(name, bytes(content))
    copy.seek(0)
    return copy


def _too_large(limits: ParseLimits) -> ParseError:
    size = limits.max_expanded_bytes // (1024 * 1024)
    return ParseError("too_large", f"The Word file unpacks to more than {size:,} MiB, the limit.")


def _heading_levels(document: Document) -> dict[str, int]:
    """Heading level by style id, from the built-in styles' names, English in every Word's files."""
    levels: dict[str, int] = {}
    for style in document.styles:
        name = style.name or ""
        if name.lower() == "title":
            levels[style.style_id] = 1
        elif match := _HEADING_STYLE.fullmatch(name):
            levels[style.style_id] = min(int(match[1]), 6)
    return levels


def _blocks(parent: Any, levels: dict[str, int]) -> Iterator[str]:
    """Text of each paragraph and table under `parent`, content controls and tracked text included.

    The tree is at most 256 deep (libxml2's own limit), so recursion is safe.
    """
    for child in parent.iterchildren("*"):
        if child.tag == _PARAGRAPH:
            text = _paragraph(child)
            level = levels.get(child.style or "", 0)
            yield "#" * level + " " + " ".join(text.split()) if level and text.strip() else text
        elif child.tag == _TABLE:
            yield "\n".join(filter(None, (_row(row) for row in child.iter(_ROW))))
        else:
            yield from _blocks(child, levels)


def _row(row: Any) -> str:
    own = [cell for cell in row.iter(_CELL) if next(cell.iterancestors(_ROW)) is row]
    cells = [" ".join(_inner(cell).split()) for cell in own]
    return " | ".join(cells) if any(cells) else ""


def _inner(cell: Any) -> str:
    """A cell's paragraphs; a table nested in it gives its own rows."""
    own = [p for p in cell.iter(_PARAGRAPH) if next(p.iterancestors(_CELL, _PARAGRAPH)) is cell]
    return " ".join(map(_paragraph, own))


def _paragraph(paragraph: Any) -> str:
    parts: list[str] = []
    for element in paragraph.iter(_TEXT, _TAB, _PARAGRAPH, *_BREAKS):
        if element.tag == _TEXT:
            parts.append(element.text or "")
        elif element.tag == _TAB:
            parts.append("\t")
        elif element is not paragraph:  # a line break, or a text box's paragraph
            parts.append("\n")
    return "".join(parts).strip()
