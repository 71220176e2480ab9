"""The example documents: rendered from their sources, all formats there, and readable."""

import math
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import pypdfium2
import pytest
from selectolax.lexbor import LexborHTMLParser

EXAMPLES = Path(__file__).parents[3] / "examples"
DOCUMENTS = sorted((EXAMPLES / "documents").iterdir())
WORDS_PER_PAGE = 350


@pytest.fixture(scope="module")
def generator() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / "build.py"))


def pdf_pages(path: Path) -> list[str]:
    with pypdfium2.PdfDocument(path) as pdf:
        return [page.get_textpage().get_text_range() for page in pdf]


def text_of(path: Path) -> str:
    if path.suffix == ".pdf":
        return "\n".join(pdf_pages(path))
    if path.suffix == ".docx":
        document = docx.Document(str(path))
        cells = [cell.text for t in document.tables for row in t.rows for cell in row.cells]
        return "\n".join([p.text for p in document.paragraphs] + cells)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        main = LexborHTMLParser(text).css_first("main")
        assert main is not None
        return main.text(separator=" ")
    return text


def test_a_build_gives_the_committed_bytes(generator: dict[str, Any], tmp_path: Path) -> None:
    build: Callable[[Path], list[Path]] = generator["build"]
    built = build(tmp_path)
    assert [path.name for path in built] == [path.name for path in DOCUMENTS]
    stale = [
        new.name
        for new, old in zip(built, DOCUMENTS, strict=True)
        if new.read_bytes() != old.read_bytes()
    ]
    assert stale == [], "run `python examples/build.py` and commit the result"


def test_all_five_formats_are_there() -> None:
    assert {path.suffix for path in DOCUMENTS} == {".md", ".txt", ".html", ".pdf", ".docx"}


def test_the_collection_has_at_least_thirty_pages() -> None:
    pages = sum(
        len(pdf_pages(path))
        if path.suffix == ".pdf"
        else math.floor(len(text_of(path).split()) / WORDS_PER_PAGE)
        for path in DOCUMENTS
    )
    assert pages >= 30


def test_the_handbook_has_twelve_numbered_pages_none_nearly_empty() -> None:
    pages = pdf_pages(EXAMPLES / "documents" / "operators-handbook.pdf")
    assert len(pages) >= 12
    for number, page in enumerate(pages, 1):
        assert f"Page {number}" in page.splitlines()
        assert len(page.split()) > 150


def plain_words(text: str) -> set[str]:
    """The words without punctuation in or at them: in other formats that may be set apart."""
    return {word for word in text.replace("`", "").split() if word.isalnum()}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_word_of_a_source_can_be_read_from_its_document(path: Path) -> None:
    source = (EXAMPLES / "source" / f"{path.name}.md").read_text(encoding="utf-8")
    assert plain_words(source) - plain_words(text_of(path)) == set()


@pytest.mark.parametrize(
    ("source", "error"),
    [("no title", "title"), ("# A title\nand text", "blank line"), ("# Ends\n\n## So", "heading")],
)
def test_a_source_outside_the_subset_is_refused(
    generator: dict[str, Any], source: str, error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        generator["to_pdf"](source)
