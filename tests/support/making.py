"""Documents made for tests: a PDF from lines or from what stands on its pages, a Word file."""

import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import docx
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

from parser.model import Ocr, Parsed, ParseLimits
from parser.parse import parse

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def read(
    data: bytes, filename: str, media_type: str | None = None, ocr: Ocr | None = None, **limits: int
) -> Parsed:
    """The document, parsed in this process."""
    return parse(data, filename, media_type, ParseLimits(**limits), ocr)


def codes(parsed: Parsed) -> list[str]:
    """What is warned of."""
    return [warned.code for warned in parsed.warnings]


def pdf(*pages: str, title: str = "", encryption: StandardEncryption | None = None) -> bytes:
    """A page for each text, its lines below each other."""
    out = io.BytesIO()
    page = canvas.Canvas(out, encrypt=encryption)
    if title:
        page.setTitle(title)
    for text in pages:
        for n, line in enumerate(text.split("\n")):
            page.drawString(40, 800 - 14 * n, line)
        page.showPage()
    page.save()
    return out.getvalue()


def drawn(*pages: Callable[[canvas.Canvas], object], **options: Any) -> bytes:
    """A page for each function, which draws it."""
    out = io.BytesIO()
    page = canvas.Canvas(out, **options)
    for draw in pages:
        page.setFont("Helvetica", 11)
        draw(page)
        page.showPage()
    page.save()
    return out.getvalue()


def word(build: Callable[[Any], object]) -> bytes:
    """A Word file of python-docx's."""
    document = docx.Document()
    document.core_properties.title = ""
    build(document)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def word_xml(body: str, parts: Mapping[str, str] | None = None) -> bytes:
    """A Word file with this body, in Word's own XML; `parts` replace or join its other parts.

    Relationships `rId90` and on lead to the parts `word/NAME.xml` that are added, in order.
    """
    added = dict(parts or {})
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
    names = [name for name in added if name not in ("numbering", "styles")]
    links = "".join(
        f'<Relationship Id="rId{90 + n}" Type="{kind}{name}" Target="{name}.xml"/>'
        for n, name in enumerate(names)
    )

    def change(name: str, content: bytes) -> bytes:
        told = content.decode(errors="surrogateescape")
        if name == "word/document.xml":
            head, _, _ = told.partition("<w:body>")
            told = f"{head}<w:body>{body}</w:body></w:document>"
        elif name == "word/_rels/document.xml.rels":
            told = told.replace("</Relationships>", links + "</Relationships>")
        elif name in (f"word/{one}.xml" for one in ("numbering", "styles")):
            told = added.get(name[5:-4], told)
        return told.encode(errors="surrogateescape")

    more = {f"word/{name}.xml": added[name].encode() for name in names}
    return repacked(word(lambda d: d.add_paragraph("x", style="List Number")), change, more=more)


def repacked(
    data: bytes,
    change: Callable[[str, bytes], bytes],
    compression: int = zipfile.ZIP_DEFLATED,
    rename: Callable[[str], str] = str,
    more: Mapping[str, bytes] | None = None,
) -> bytes:
    """An Office file with its parts rewritten."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", compression) as new:
        for name in old.namelist():
            new.writestr(rename(name), change(name, old.read(name)))
        for name, content in (more or {}).items():
            new.writestr(name, content)
    return out.getvalue()
