"""Hostile files, each in a worker that can be killed: a clear error, and the next file is read.

The whole table runs in one pool. What a worker may use is bounded in bytes, pages, characters, time
and memory; the service itself never parses.
"""

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import psutil
import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

from parser.model import MIB, ParseError, ParseLimits
from parser.pool import ParserPool

MEMORY = 512 * MIB
SECONDS = 60.0


@pytest.fixture(scope="module")
def pool() -> Iterator[ParserPool]:
    limits = ParseLimits(max_bytes=50 * MIB, max_expanded_bytes=50 * MIB)
    pool = ParserPool(limits, seconds=SECONDS, memory_bytes=MEMORY)
    yield pool
    pool.close()


def archive(parts: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as target:
        for name, content in parts.items():
            target.writestr(name, content)
    return out.getvalue()


def word_of(document: bytes, **more: bytes) -> bytes:
    """A zip that passes for a Word file, with `document` as its main part."""
    kind = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    types = (
        b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        b'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
        b'relationships+xml"/><Override PartName="/word/document.xml" ContentType="%b"/></Types>'
    ) % kind
    relation = (
        b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        b'<Relationship Id="r1" Target="word/document.xml" Type="http://schemas.openxmlformats.org/'
        b'officeDocument/2006/relationships/officeDocument"/></Relationships>'
    )
    parts = {
        "[Content_Types].xml": types,
        "_rels/.rels": relation,
        "word/document.xml": document,
    }
    return archive(parts | more)


def body(content: bytes, before: bytes = b"") -> bytes:
    namespace = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    head, tail = b'<w:document xmlns:w="%b"><w:body>' % namespace, b"</w:body></w:document>"
    return b'<?xml version="1.0"?>' + before + head + content + tail


def zeros(size: int) -> bytes:
    return word_of(b" " * size)


def nested_zip() -> bytes:
    inner = archive({"inner.xml": b" " * (40 * MIB)})
    return word_of(b" " * (40 * MIB), **{f"word/embeddings/{n}.zip": inner for n in range(20)})


def many_entries() -> bytes:
    return archive({"word/document.xml": b"", **{f"word/{n}.xml": b"" for n in range(20_000)}})


def lying_sizes() -> bytes:
    data, true = zeros(30 * MIB), (30 * MIB).to_bytes(4, "little")
    assert true in data
    return data.replace(true, (1_000).to_bytes(4, "little"))


def deep_xml() -> bytes:
    return word_of(body(b"<w:p>" * 100_000 + b"</w:p>" * 100_000))


def laughs() -> bytes:
    entities = b"".join(
        b'<!ENTITY l%d "%b">' % (n, b"&l%d;" % (n - 1) * 10 if n else b"ha") for n in range(12)
    )
    return word_of(body(b"<w:p><w:r><w:t>&l11;</w:t></w:r></w:p>", b"<!DOCTYPE d [%b]>" % entities))


def external_entity() -> bytes:
    doctype = b'<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    return word_of(body(b"<w:p><w:r><w:t>&e;</w:t></w:r></w:p>", doctype))


def pages(count: int, encryption: StandardEncryption | None = None) -> bytes:
    out = io.BytesIO()
    page = canvas.Canvas(out, encrypt=encryption)
    for _ in range(count):
        page.drawString(40, 800, "words")
        page.showPage()
    page.save()
    return out.getvalue()


def pdf(*objects: bytes) -> bytes:
    numbered = b"".join(b"%d 0 obj%b endobj\n" % (n, o) for n, o in enumerate(objects, 1))
    return b"%PDF-1.5\n" + numbered + b"trailer<</Root 1 0 R>>\n%%EOF"


def pdf_loop() -> bytes:
    return pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[2 0 R 3 0 R]/Count 9/Parent 2 0 R>>",
        b"<</Type/Page/Parent 3 0 R/Contents 4 0 R/MediaBox[0 0 9 9]>>",
        b"4 0 R",
    )


def pdf_form_loop() -> bytes:
    """A page that draws a form that draws itself."""
    draw = b"<</Length 5>>stream\n/F Do\nendstream"
    form = (
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 5 0 R>>>>/Length 5>>"
        b"stream\n/F Do\nendstream"
    )
    return pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/MediaBox[0 0 9 9]"
        b"/Resources<</XObject<</F 5 0 R>>>>>>",
        draw,
        form,
    )


def pdf_bomb() -> bytes:
    """A page whose contents are 2 GiB of spaces, compressed twice."""
    once = zlib.compress(b" " * (64 * MIB), 9) * 32
    twice = zlib.compress(once, 9)
    stream = b"<</Length %d/Filter[/FlateDecode/FlateDecode]>>stream\n%b\nendstream"
    return pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/MediaBox[0 0 9 9]>>",
        stream % (len(twice), twice),
    )


REFUSED: dict[str, tuple[str, Callable[[], bytes], set[str]]] = {
    "a zip bomb": ("a.docx", lambda: zeros(200 * MIB), {"too_large"}),
    "a zip bomb of zips": ("a.docx", nested_zip, {"invalid", "too_large"}),
    "a zip of many entries": ("a.docx", many_entries, {"too_large"}),
    "a zip that lies about its sizes": ("a.docx", lying_sizes, {"invalid", "too_large"}),
    "XML of great depth": ("a.docx", deep_xml, {"invalid"}),
    "a billion laughs": ("a.docx", laughs, {"invalid"}),
    "an external entity": ("a.docx", external_entity, {"invalid"}),
    "a PDF of 10,000 pages": ("a.pdf", lambda: pages(10_000), {"too_large"}),
    "a PDF whose pages loop": ("a.pdf", pdf_loop, {"invalid", "empty"}),
    "a PDF whose form draws itself": ("a.pdf", pdf_form_loop, {"invalid", "empty"}),
    "a PDF with a decompression bomb": ("a.pdf", pdf_bomb, {"crashed", "empty", "too_large"}),
    "an encrypted PDF": ("a.pdf", lambda: pages(1, StandardEncryption("secret")), {"encrypted"}),
    "a PDF in name only": ("a.pdf", lambda: bytes(1000) + b"words", {"invalid"}),
    "a picture": ("a.docx", lambda: b"\x89PNG\r\n\x1a\n" + bytes(99), {"invalid"}),
    "an HTML page over the limit": ("a.html", lambda: b"<p>x" * (13 * MIB), {"too_large"}),
    "an HTML page of nothing but tags": (
        "a.html", lambda: b"<b>" * (8 * MIB), {"invalid"},
    ),
    "a text over the limit of characters": ("a.txt", lambda: b"word " * (5 * MIB), {"too_large"}),
    "an empty file": ("a.txt", lambda: b"", {"empty"}),
    "binary junk": ("a.txt", lambda: bytes(range(256)) * 400, {"unsupported"}),
}  # fmt: skip

READ: dict[str, tuple[str, bytes, str]] = {
    "UTF-16 without a mark": ("a.txt", "words é".encode("utf-16-le"), "words é"),
    "UTF-16": ("a.txt", "words é".encode("utf-16"), "words é"),
    "scripts": ("a.html", b"<p>words<script>alert(1)</script><img src=x onerror=a()>", "words"),
    "entities in HTML": (
        "a.html",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><p>words &e;',
        "]>\n\nwords &e;",
    ),
    "a name that climbs": ("../../../etc/passwd.txt", b"words", "words"),
    "a PDF called .txt": ("a.txt", pages(1), "words"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_hostile_file_gets_a_clear_error_within_its_limits(
    pool: ParserPool, tmp_path: Path, what: str
) -> None:
    filename, make, codes = REFUSED[what]
    (tmp_path / "spooled").write_bytes(make())
    us = psutil.Process()
    before = us.memory_info().rss
    with pytest.raises(ParseError) as caught:
        await pool.parse(tmp_path / "spooled", filename, None)
    assert caught.value.code in codes, (caught.value.code, caught.value.message)
    assert filename not in caught.value.message and str(tmp_path) not in caught.value.message
    assert us.memory_info().rss - before < 32 * MIB
    (tmp_path / "good").write_text("Good words.")
    good = orjson.loads(await pool.parse(tmp_path / "good", "good.txt", None))
    assert good["text"] == "Good words."


@pytest.mark.parametrize("what", READ)
async def test_what_only_looks_hostile_is_read_as_what_it_is(
    pool: ParserPool, tmp_path: Path, what: str
) -> None:
    filename, data, expected = READ[what]
    (tmp_path / "spooled").write_bytes(data)
    read = orjson.loads(await pool.parse(tmp_path / "spooled", filename, None))
    assert read["text"].strip() == expected
    assert "/" not in read["title"]
