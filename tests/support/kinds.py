"""A document of every kind that the parser reads, made of the same paragraphs; and damaged ones."""

import csv
import email.message
import io
import json
import random
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from html import escape
from typing import Any

import openpyxl
from making import pdf, word
from pptx import Presentation

from parser.charset import without_surrogates
from parser.model import Parsed, ParseError, ParseLimits
from parser.parse import parse
from retriever.parsed import page_at

LIMITS = ParseLimits(max_pages=50, max_characters=2_000_000, max_expanded_bytes=8 * 2**20)


def _text(paragraphs: Sequence[str]) -> bytes:
    return "\n\n".join(paragraphs).encode()


def _html(paragraphs: Sequence[str]) -> bytes:
    body = "".join(f"<p>{escape(one)}</p>" for one in paragraphs)
    return (
        f"<html><head><meta charset=utf-8></head><body><h1>Head</h1>{body}</body></html>".encode()
    )


def _csv(paragraphs: Sequence[str], delimiter: str = ",") -> bytes:
    out = io.StringIO()
    rows = csv.writer(out, delimiter=delimiter)
    rows.writerow(["number", "said"])
    rows.writerows([f"n{n}", one] for n, one in enumerate(paragraphs))
    return out.getvalue().encode()


def _mail(paragraphs: Sequence[str]) -> bytes:
    message = email.message.EmailMessage()
    message["From"], message["Subject"] = "a@b.example", "Words"
    message.set_content("\n\n".join(paragraphs))
    message.add_attachment(_html(paragraphs[:1]), "text", "html", filename="a.html")
    return message.as_bytes()


def _notebook(paragraphs: Sequence[str]) -> bytes:
    cells = [{"cell_type": "markdown", "source": one} for one in paragraphs]
    return json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}).encode()


def _book(paragraphs: Sequence[str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="book.opf"/></rootfiles></container>',
        )
        book.writestr(
            "book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf"><metadata/><manifest><item id="a" '
            'href="a.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref '
            'idref="a"/></spine></package>',
        )
        book.writestr("a.xhtml", _html(paragraphs))
    return out.getvalue()


def _word(paragraphs: Sequence[str]) -> bytes:
    def build(document: Any) -> None:
        document.add_heading("Head", 1)
        for one in paragraphs:
            document.add_paragraph(one)
        document.add_table(rows=1, cols=2).cell(0, 0).text = paragraphs[0]

    return word(build)


def _workbook(paragraphs: Sequence[str]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in [("number", "said"), *((f"n{n}", one) for n, one in enumerate(paragraphs))]:
        sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _slides(paragraphs: Sequence[str]) -> bytes:
    deck = Presentation()
    for one in paragraphs:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.placeholders[1].text_frame.text = one
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


KINDS: dict[str, Callable[[Sequence[str]], bytes]] = {
    "a.txt": _text,
    "a.md": _text,
    "a.html": _html,
    "a.csv": _csv,
    "a.tsv": lambda paragraphs: _csv(paragraphs, "\t"),
    "a.eml": _mail,
    "a.ipynb": _notebook,
    "a.epub": _book,
    "a.docx": _word,
    "a.xlsx": _workbook,
    "a.pptx": _slides,
    "a.pdf": lambda paragraphs: pdf(*paragraphs),
}
"""By a file's name: how one of that kind is made of paragraphs, of which a PDF has one a page."""


def mutated(data: bytes, chance: random.Random) -> bytes:
    """`data` with some bytes changed, cut out or repeated; of a zip, those of one of its files."""
    if data.startswith(b"PK\x03\x04") and chance.random() < 0.9:
        with suppress(Exception):  # damaged before, so that no file of it can be taken out
            return _mutated_zip(data, chance)
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at, length = chance.randrange(len(changed) + 1), chance.choice((1, 2, 8, 64, 1024))
        match chance.randrange(4):
            case 0:
                changed[at : at + length] = chance.randbytes(length)
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = changed[at : at + length] * chance.choice((1, 2, 50))
            case _:
                changed[at:at] = chance.choice(
                    (
                        b"\0",
                        b"\xff\xfe",
                        b"</",
                        b'"',
                        b"-1",
                        b"99999999999",
                        b"\xed\xa0\x80",
                        b"%00",
                    )
                )
    return bytes(changed)


def _mutated_zip(data: bytes, chance: random.Random) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        victim = chance.choice(names)
        for name in names:
            content = old.read(name)
            new.writestr(name, mutated(content, chance) if name == victim else content)
    return out.getvalue()


def survives(data: bytes, name: str) -> Parsed | None:
    """Read it: a text that keeps what readers promise, or none for a clear refusal."""
    try:
        parsed = parse(data, name, None, LIMITS)
    except ParseError as error:
        assert error.message and name not in error.message
        return None
    except MemoryError:
        return None  # the pool says that it needs too much
    assert without_surrogates(parsed.text) == parsed.text
    assert parsed.text.strip()
    assert parsed.title.isprintable()
    assert list(parsed.pages) == sorted(parsed.pages)
    assert all(0 <= start <= len(parsed.text) for start in parsed.pages)
    assert all(page_at(parsed.pages, start) for start in parsed.pages)
    assert all(0 <= heading.offset < len(parsed.text) for heading in parsed.headings)
    json.dumps(parsed.as_json())
    return parsed
