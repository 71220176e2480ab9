"""Documents in every format, whole, broken and hostile."""

import io
import pickle
import random
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import pdf, read, repacked, word
from reportlab.lib.pdfencrypt import StandardEncryption

from parser.markdown import headings
from parser.model import Parsed, ParseError, ParseLimits
from parser.parse import parse
from retriever.parsed import page_at

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
MIB = 1024 * 1024


def refused(data: bytes, filename: str, **limits: int) -> tuple[str, str]:
    with pytest.raises(ParseError) as caught:
        parse(data, filename, None, ParseLimits(**limits))
    assert filename not in caught.value.message
    return caught.value.code, caught.value.message


# Text and Markdown


def test_markdown_and_text_are_kept_as_they_are() -> None:
    text = (
        "# Title\r\n\r\nBody \U0001f469\u200d\U0001f680 e\u0301 \u05e9\u05dc\u05d5\u05dd \0 end\n"
    )
    marks = tuple(headings(text))
    assert [mark.words for mark in marks] == ["Title"]
    assert read(text.encode(), "a.md") == Parsed(
        text, "Title", "text/markdown", markdown=True, headings=marks
    )
    assert read(text.encode(), "notes/a.txt") == Parsed(text, "a", "text/plain")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8-sig", "plain words"),
        ("utf-16", "h\u00e9llo \u4f60\u597d \U0001f600"),
        ("utf-32", "h\u00e9llo \u4f60\u597d"),
        ("latin-1", "caf\u00e9"),
        ("latin-1", "Les \u00e9l\u00e8ves fran\u00e7ais \u00e9tudient \u00e0 l'\u00e9cole."),
        (
            "cp1251",
            "\u0421\u044a\u0435\u0448\u044c \u0436\u0435 \u0435\u0449\u0451 \u044d\u0442\u0438"
            "\u0445 \u043c\u044f\u0433\u043a\u0438\u0445 \u0431\u0443\u043b\u043e\u043a",
        ),
        ("latin-1", "ascii first. " * 20_000 + "cr\u00e8me br\u00fbl\u00e9e"),
    ],
)
def test_text_is_decoded_from_its_encoding(encoding: str, text: str) -> None:
    assert read(text.encode(encoding), "a.txt").text == text


@pytest.mark.parametrize("size", [50, 1_000, 100_000])
@pytest.mark.parametrize("extension", ["txt", "md", "html", "pdf", "docx", "bin"])
def test_random_bytes_are_refused_under_every_name(size: int, extension: str) -> None:
    code, _ = refused(random.Random(size).randbytes(size), f"a.{extension}")
    assert code in {"unsupported", "invalid"}


def test_a_file_of_nuls_is_binary_though_it_is_valid_utf_8() -> None:
    assert refused(bytes(1000), "a.txt")[0] == "unsupported"


def test_lone_surrogates_never_get_through() -> None:
    broken = "\ufeffa\ud800b words".encode("utf-16-le", "surrogatepass")
    assert read(broken, "a.txt").text == "a\ufffdb words"
    page = b"<meta charset=unicode_escape><p>\xe9 &#xd800; words"
    assert read(page, "a.html").text == "\xe9 \ufffd words"


@given(st.binary(max_size=300), st.sampled_from(["a.txt", "a.md", "a.html", "a.pdf", "a.docx"]))
def test_any_bytes_give_a_text_or_a_parse_error(data: bytes, filename: str) -> None:
    try:
        parsed = read(data, filename)
    except ParseError:
        return
    assert parsed.text.strip()
    assert parsed.title
    parsed.text.encode()


# What a file is


@pytest.mark.parametrize(
    ("data", "filename", "media_type", "expected"),
    [
        (pdf("words"), "a.txt", "text/plain", "application/pdf"),
        (word(lambda d: d.add_paragraph("words")), "a.pdf", None, WORD),
        (b"<!-- c -->\n<!DOCTYPE html><p>words", "a.txt", None, "text/html"),
        (b"<div align=center>\n\n# Words\n", "README.md", None, "text/markdown"),
        (b"words", "a.pdf", None, "text/plain"),
        (b"words", "README", None, "text/plain"),
        (b"words", "README", "text/markdown; charset=utf-8", "text/markdown"),
    ],
)
def test_content_decides_first_then_name_then_media_type(
    data: bytes, filename: str, media_type: str | None, expected: str
) -> None:
    assert read(data, filename, media_type).media_type == expected


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"wOFF" + bytes(9), "a font"),
        (b"{\\rtf1 words}", "RTF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Office file"),
    ],
)
def test_other_formats_are_refused_by_name(data: bytes, what: str) -> None:
    code, message = refused(data, "a.docx")
    assert (code, what in message) == ("unsupported", True)


def test_other_zip_archives_are_refused_by_name() -> None:
    for member, what in (("Index/Document.iwa", "Apple"), ("readme.txt", "a zip archive")):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(member, "x")
        code, message = refused(out.getvalue(), "a.docx")
        assert (code, what in message) == ("unsupported", True)


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n"])
def test_a_document_without_text_is_refused_as_empty(data: bytes) -> None:
    assert refused(data, "a.md")[0] == "empty"


def test_a_hostile_name_gives_a_short_printable_title() -> None:
    title = read(b"words", "../../etc/pass\0wd/" + "n" * 5_000 + "\n.txt").title
    assert title == "n" * 300
    assert read(b"words", "..\\dir\\my\0file.txt").title == "my file"


def test_limits_on_bytes_and_characters_hold() -> None:
    assert refused(b"x" * (2 * MIB), "a.html", max_bytes=MIB)[0] == "too_large"
    for name in ("a.txt", "a.html"):
        assert refused(b"word " * 300, name, max_characters=1_000)[0] == "too_large"


def test_a_parse_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ParseError("encrypted", "locked")))
    assert (error.code, error.message, str(error)) == ("encrypted", "locked", "locked")


# HTML


def test_html_gives_headings_lists_tables_and_code_on_their_own_lines() -> None:
    page = """<!doctype html><head><title> My
      page </title><style>p{}</style></head><body><nav>menu</nav><h1>Big<br>head</h1>
      <p>Para &amp; <b>b</b>old&shy;er<br>next<script>alert(1)</script></p>
      <ul><li>one<li><p>two</p></ul><table><tr><th>A<th>B<tr><td>1<td><p>x</p><p>y</p></table>
      <pre># comment\n  ls -la\n</pre><div>d1</div><div>d2 <span>s</span></div><!-- c -->
      <noscript>n</noscript><template>t</template><svg><title>no</title></svg>tail"""
    parsed = read(page.encode(), "a.html")
    assert parsed.title == "My page"
    assert parsed.text == (
        "# Big head\n\nPara & bolder\nnext\n\n- one\n- two\n\n| A | B |\n|---|---|\n| 1 | x y |\n\n"
        "```\n# comment\n  ls -la\n```\n\nd1\nd2 s\ntail"
    )


def test_html_without_a_title_takes_its_first_heading() -> None:
    assert read(b"<p>a</p><h2>Head <i>line</i></h2>", "a.html").title == "Head line"


def test_html_is_decoded_by_the_charset_it_declares() -> None:
    page = '<meta charset="windows-1251"><p>\u043c\u0438\u0440'
    assert read(page.encode("cp1251"), "a.html").text == "\u043c\u0438\u0440"
    assert read(b'<meta charset="no-such"><p>caf\xe9', "a.html").text == "caf\u00e9"
    assert read(b'<meta charset="utf-8"><p>caf\xe9 x', "a.html").text == "caf\ufffd x"


@pytest.mark.parametrize("opening", [b"<div>", b"<b>", b"<table><tr><td>", b"<ul><li>", b"<svg>"])
def test_deeply_nested_html_is_read_without_recursion(opening: bytes) -> None:
    assert "deep" in read(b"<p>deep" + opening * 10_000 + b"deep", "a.html").text


# PDF


def test_pdf_pages_start_where_their_offsets_say() -> None:
    parsed = read(pdf("first page", "second page", "", "fourth", title="The title"), "a.pdf")
    assert parsed.title == "The title"
    assert [parsed.text[start:].split("\n")[0] for start in parsed.pages] == [
        "first page",
        "second page",
        "",
        "fourth",
    ]
    offset = parsed.text.index("second")
    assert [page_at(parsed.pages, o) for o in (0, offset - 1, offset, len(parsed.text))] == [
        1,
        1,
        2,
        4,
    ]
    assert page_at((), 5) is None


def test_pdf_words_and_lines_cut_by_the_margin_are_made_whole() -> None:
    text = "\n".join(
        (
            "A long line that the margin has cut in the middle of an exam-",
            "ple, and which continues on this line up to its end in well-",
            "Known words, then goes on for one more line before it is all",
            "over. The end.",
            "Short line",
            "1. An item that is quite as long as all of the lines above it",
            "2. Another item",
        )
    )
    assert read(pdf(text), "a.pdf").text == (
        "A long line that the margin has cut in the middle of an example, and which continues on"
        " this line up to its end in well-Known words, then goes on for one more line before it is"
        " all over. The end.\nShort line\n1. An item that is quite as long as all of the lines"
        " above it\n2. Another item"
    )


def test_a_pdf_without_a_chosen_title_is_called_by_its_file() -> None:
    assert read(pdf("words"), "dir/Some report.pdf").title == "Some report"


def test_a_pdf_of_empty_pages_is_refused_as_empty() -> None:
    code, message = refused(pdf("", ""), "a.pdf")
    assert (code, "no text" in message) == ("empty", True)


def test_an_encrypted_pdf_is_refused_and_one_only_locked_for_change_is_read() -> None:
    assert refused(pdf("x", encryption=StandardEncryption("secret")), "a.pdf")[0] == "encrypted"
    locked = pdf("words", encryption=StandardEncryption("", "owner"))
    assert read(locked, "a.pdf").text == "words"


def test_a_pdf_of_ten_thousand_pages_is_refused_before_it_is_read() -> None:
    code, message = refused(pdf(*["x"] * 10_000), "a.pdf")
    assert (code, "10,000 pages" in message) == ("too_large", True)


LOOP = b"""%%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[%b]/Count %b>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>endobj
trailer<</Root 1 0 R>>
%%%%EOF"""


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n",
        pdf("words", "more")[:600],
        LOOP % (b"2 0 R 3 0 R", b"5"),
        LOOP % (b"2 0 R", b"1"),
        LOOP % (b"3 0 R", b"99999999"),
        LOOP % (b"3 0 R", b"-5"),
    ],
)
def test_broken_and_looping_pdfs_are_refused(data: bytes) -> None:
    assert refused(data, "a.pdf")[0] in {"invalid", "empty", "too_large"}


# Word


def test_word_gives_paragraphs_tables_and_headings_in_order() -> None:
    def build(document: Any) -> None:
        document.add_heading("Main", 0)
        document.add_paragraph("Before\tthe table")
        table = document.add_table(2, 2)
        for cell, text in zip(table._cells, ("A", "B", "1", ""), strict=True):
            cell.text = text
        table.cell(1, 1).add_table(1, 1).cell(0, 0).text = "inner"
        document.add_heading("Part", 2)
        document.add_paragraph("After")

    parsed = read(word(build), "a.docx")
    assert parsed.title == "Main"
    assert parsed.text == (
        "# Main\n\nBefore\tthe table\n\n| A | B |\n|---|---|\n| 1 | inner |\n\n## Part\n\nAfter"
    )


def test_word_text_in_content_controls_and_tracked_insertions_is_read() -> None:
    def change(name: str, content: bytes) -> bytes:
        if name == "word/document.xml":
            content = content.replace(
                b"<w:p><w:r><w:t>here</w:t></w:r></w:p>",
                b"<w:sdt><w:sdtContent><w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins>"
                b"<w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p></w:sdtContent></w:sdt>",
            )
        return content

    data = repacked(word(lambda d: d.add_paragraph("here")), change)
    assert read(data, "a.docx").text == "new"


def test_a_word_files_own_title_comes_first() -> None:
    def build(document: Any) -> None:
        document.core_properties.title = "Chosen"
        document.add_heading("Heading", 1)

    assert read(word(build), "a.docx").title == "Chosen"


def bomb(size: int, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    def change(name: str, content: bytes) -> bytes:
        return content + b" " * size if name == "word/document.xml" else content

    return repacked(word(lambda d: d.add_paragraph("x")), change, compression)


def test_a_zip_bomb_is_refused_by_its_declared_size() -> None:
    data = bomb(30 * MIB)
    assert len(data) < MIB
    assert refused(data, "a.docx", max_expanded_bytes=20 * MIB)[0] == "too_large"


def test_a_zip_bomb_that_lies_about_its_size_is_refused() -> None:
    data = bomb(30 * MIB)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        true_size = archive.getinfo("word/document.xml").file_size
    lie = data.replace(true_size.to_bytes(4, "little"), (1_000).to_bytes(4, "little"))
    assert lie != data
    assert refused(lie, "a.docx", max_expanded_bytes=20 * MIB)[0] == "invalid"


def test_compression_that_cannot_be_bounded_is_refused() -> None:
    assert refused(bomb(MIB, zipfile.ZIP_LZMA), "a.docx")[0] == "invalid"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_external_entities_are_refused(encoding: str) -> None:
    def change(name: str, content: bytes) -> bytes:
        if name != "word/document.xml":
            return content
        body = content.decode().partition("?>")[2].replace("<w:t>x", "<w:t>&e;")
        entity = '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
        return (f'<?xml version="1.0" encoding="{encoding}"?>{entity}{body}').encode(encoding)

    data = repacked(word(lambda d: d.add_paragraph("x")), change)
    code, message = refused(data, "a.docx")
    assert (code, "DTD" in message) == ("invalid", True)


def test_damaged_word_files_are_refused() -> None:
    whole = word(lambda d: d.add_paragraph("x"))

    def cut(name: str, content: bytes) -> bytes:
        return content[: len(content) // 2]

    def emptied(name: str, content: bytes) -> bytes:
        return b"" if name.endswith(".rels") else content

    for data in (whole[: len(whole) // 2], repacked(whole, cut), repacked(whole, emptied)):
        assert refused(data, "a.docx")[0] == "invalid"


def test_an_encrypted_office_file_is_named_as_such() -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512) + "EncryptedPackage".encode("utf-16-le")
    assert refused(data, "a.docx")[0] == "encrypted"


def test_a_terminals_colours_are_no_part_of_a_logs_words() -> None:
    assert read(b"\x1b[1;31mERROR\x1b[0m pump 4", "a.log").text == "ERROR pump 4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Title\n=====\n\nWords", [(0, 1, "Title")]),
        ("a\n\nSub **part**\r\n---\r\nx", [(3, 2, "Sub part")]),
        ("Title\n===\n# Next\n", [(0, 1, "Title"), (10, 1, "Next")]),
        ("- item\n---\n", []),
        ("two\nlines\n---\n", []),
        ("| a | b |\n---\n", []),
        ("words\n\n---\n", []),
        ("```\n\nTitle\n===\n```\n", []),
        ("x" * 300 + "\n===\n", []),
    ],
)
def test_an_underlined_line_by_itself_is_a_heading(
    text: str, expected: list[tuple[int, int, str]]
) -> None:
    assert [tuple(one) for one in headings(text)] == expected
