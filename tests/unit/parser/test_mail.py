# ruff: noqa: E501 - long lines are data
"""Mail, notebooks and books: containers of texts that are read by their kinds."""

import io
import json
import zipfile
from email.message import EmailMessage

import pytest
from making import codes, pdf, read, word

from parser.model import ParseError


def mail(text: str = "", page: str = "", subject: str = "Berth 7") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Søren Aagaard <s@port.example>"
    message["To"] = "pilots@port.example"
    message["Subject"] = subject
    message["Date"] = "Fri, 02 May 2031 10:15:00 +0000"
    if text:
        message.set_content(text)
    if page:
        (message.add_alternative if text else message.set_content)(page, subtype="html")
    return message


HEAD = "From: Søren Aagaard <s@port.example>\nTo: pilots@port.example\nDate: Fri, 02 May 2031 10:15:00 +0000\nSubject: "


def test_a_mail_says_who_wrote_what_and_when() -> None:
    parsed = read(bytes(mail("The gate is open.\n", subject="Größe des Liegeplatzes — 7")), "a.eml")
    assert parsed.title == "Größe des Liegeplatzes — 7"
    assert parsed.text == f"{HEAD}Größe des Liegeplatzes — 7\n\nThe gate is open."


def test_of_two_forms_of_a_message_the_one_that_holds_it_is_read() -> None:
    page = "<p>The berth costs <b>40</b> euros.</p><table><tr><th>A<th>B<tr><td>1<td>2</table>"
    assert read(bytes(mail("See the page.", page * 3)), "a.eml").text.count("40 euros") == 3
    assert "40 euros" in read(bytes(mail("", page)), "a.eml").text
    both = read(bytes(mail("The berth costs 40 euros.", page)), "a.eml").text
    assert both.count("40 euros") == 1


@pytest.mark.parametrize(
    ("charset", "encoding"), [("koi8-r", "base64"), ("iso-8859-5", "quoted-printable")]
)
def test_a_message_is_decoded_from_its_charset(charset: str, encoding: str) -> None:
    message = mail()
    message.set_content("Северные ворота", charset=charset, cte=encoding)
    assert "Северные ворота" in read(bytes(message), "a.eml").text


def test_attachments_are_read_by_their_kind_and_what_is_not_is_told() -> None:
    message = mail("See attached.")
    for data, name in (
        (pdf("The crane lifts forty tonnes."), "crane.pdf"),
        (word(lambda d: d.add_paragraph("Lease of berth 7")), "Löschplan.docx"),
        (b"a,b\n1,2\n", "table.csv"),
        (b"\x7fELF" + bytes(99), "program.bin"),
        (b"", "empty.txt"),
    ):
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    message.add_attachment(mail("Inner words.", subject="Inner"))
    parsed = read(bytes(message), "a.eml")
    for said in ("## Attachment: crane.pdf\n\nThe crane lifts", "## Attachment: Löschplan.docx\n\nLease",
                 "| 1 | 2 |", "Subject: Inner\n\nInner words."):  # fmt: skip
        assert said in parsed.text
    assert codes(parsed) == ["not_read", "not_read"]
    assert "program.bin" in parsed.warnings[0].message and "a program" in parsed.warnings[0].message


def test_mails_within_mails_end_somewhere() -> None:
    message = mail("The innermost.")
    for _ in range(8):
        outer = mail("Outer.")
        outer.add_attachment(message)
        message = outer
    parsed = read(bytes(message), "a.eml")
    assert parsed.text.count("Outer.") >= 3 and "not_read" in codes(parsed)


@pytest.mark.parametrize(
    "data",
    [
        b"Subject: =?utf-8?b?////?=\n\nwords",
        b"Content-Type: multipart/mixed; boundary=x\n\nwords",
        b"Content-Type: text/plain; charset=no-such\n\nwords \xe9",
        b"Date: nonsense\nFrom: <<<>>>\n\nwords",
    ],
)
def test_a_broken_mail_is_read_as_far_as_it_goes(data: bytes) -> None:
    assert "words" in read(data, "a.eml").text


def test_a_mail_without_its_extension_is_known_by_its_head() -> None:
    data = b"Received: from a\nMIME-Version: 1.0\nSubject: Gate\nFrom: a@b.example\n\nOpen.\n"
    assert read(data, "mail").media_type == "message/rfc822"
    assert read(b"Subject: only looks\n\nlike it", "a.txt").media_type == "text/plain"


def notebook(*cells: dict[str, object]) -> bytes:
    about = {"language_info": {"name": "python"}}
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": list(cells)}
    ).encode()


def test_a_notebook_has_its_text_code_and_output_and_no_pictures() -> None:
    picture = "iVBORw0KGgo" * 100
    data = notebook(
        {"cell_type": "markdown", "source": ["# Tides\n", "\n", f"High water ![x](data:image/png;base64,{picture})"]},
        {
            "cell_type": "code",
            "source": "print(4)\n# not a heading",
            "outputs": [
                {"output_type": "stream", "text": ["4\n"]},
                {"output_type": "display_data", "data": {"image/png": picture, "text/plain": "<Figure>"}},
                {"output_type": "execute_result", "data": {
                    "text/html": "<table><tr><th>A<th>B<tr><td>1<td>2</table>", "text/plain": "A B\n1 2"}},
                {"output_type": "error", "ename": "ValueError", "evalue": "\x1b[31mno\x1b[0m", "traceback": ["x"]},
            ],
        },
        {"cell_type": "raw", "source": "raw words"},
    )  # fmt: skip
    parsed = read(data, "a.ipynb")
    assert parsed.title == "Tides"
    assert picture[:50] not in parsed.text
    for said in (
        "```python\nprint(4)\n# not a heading\n```",
        "```\n4\n```",
        "| 1 | 2 |",
        "ValueError: no",
        "raw words",
    ):
        assert said in parsed.text
    assert [heading.words for heading in parsed.headings] == ["Tides"]
    assert read(data, "a.json").media_type == parsed.media_type
    with pytest.raises(ParseError, match="not valid JSON"):
        read(b"{", "a.ipynb")
    with pytest.raises(ParseError, match="no text"):
        read(notebook({"cell_type": 7, "source": {"a": 1}, "outputs": "x"}), "a.ipynb")


def epub(**parts: str) -> bytes:
    out = io.BytesIO()
    told = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc='
        '"http://purl.org/dc/elements/1.1/"><dc:title>The harbour</dc:title><dc:creator>P. Raman</dc:creator>'
        '<dc:language>en</dc:language></metadata><manifest>'
        '<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        '<item id="b" href="text/two%20b.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="a" href="one.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="n"/><itemref idref="a"/><itemref idref="b"/></spine></package>',
        "OEBPS/nav.xhtml": "<html><body><nav>Contents</nav></body></html>",
        "OEBPS/one.xhtml": "<html><body><h1>Tides</h1><p>High water.</p></body></html>",
        "OEBPS/text/two b.xhtml": "<!DOCTYPE html><html><body><h1>Winds</h1><p>10<sup>6</sup></p></body></html>",
    } | parts  # fmt: skip
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in told.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    parsed = read(epub(), "a.epub")
    assert parsed.text == "# Tides\n\nHigh water.\n\n# Winds\n\n10^6"
    assert (parsed.title, parsed.metadata) == (
        "The harbour",
        {"author": "P. Raman", "language": "en"},
    )
    with pytest.raises(ParseError, match="damaged"):
        read(epub(**{"OEBPS/book.opf": "<package"}), "a.epub")
    with pytest.raises(ParseError, match="DTD"):
        read(epub(**{"OEBPS/book.opf": '<!DOCTYPE x [<!ENTITY e "x">]><package/>'}), "a.epub")


def test_an_invitation_is_read_and_an_attachments_encoded_name() -> None:
    mail = (
        b"From: a@b.example\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\nSee invite.\n--q\n"
        b"Content-Type: text/calendar\n\nSUMMARY:Tug meeting\n--q\n"
        b'Content-Type: text/plain; name="=?utf-8?Q?Pr=C3=BCfung.txt?="\n\nPassed.\n--q--\n'
    )
    text = read(mail, "a.eml").text
    assert "SUMMARY:Tug meeting" in text
    assert "## Attachment: Prüfung.txt\n\nPassed." in text
