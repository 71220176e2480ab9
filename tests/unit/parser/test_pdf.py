# ruff: noqa: E501 - lines of a page are read better as one
"""PDFs: words in the order in which they are read, on the pages on which they stand."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from liteparse.types import ParsedPage
from making import drawn, pdf, read
from PIL import Image
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table, TableStyle

from parser.readers.pages.words import Page, Word
from parser.readers.pdf import _differ
from parser.words import plain, unligated
from retriever.parsed import page_at

LEFT = "Mooring lines are checked|every morning by the watch|officer. A worn line is|replaced within two hours.|The spare lines are kept|in store room 14."
RIGHT = "Fuel is bunkered only in|daylight. The limit is 40|tonnes per hour. The hose|is pressure tested to 15|bar before each transfer|by the chief engineer."  # fmt: skip


def lines(page: Canvas, x: float, y: float, text: str, step: float = 14) -> None:
    for n, line in enumerate(text.split("|")):
        page.drawString(x, y - step * n, line)


def one(page: Callable[[Canvas], object], **options: Any) -> str:
    return read(drawn(page, **options), "a.pdf").text


def run(page: Canvas, x: float, y: float, *parts: str | tuple[str, float, float]) -> None:
    """Words on one line; a part may have a size and a rise of its own."""
    text = page.beginText(x, y)
    for part in parts:
        said, size, rise = part if isinstance(part, tuple) else (part, 11.0, 0.0)
        text.setFont("Helvetica", size)
        text.setRise(rise)
        text.textOut(said)
    page.drawText(text)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("handles 10", ("6", 7, 5), " packets"), "handles 10^6 packets"),
        (("quota is 500", ("1", 7, 4), " requests."), "quota is 500^1 requests."),
        (("about 10", ("-12", 7, 4), " metres"), "about 10^-12 metres"),
        (("12 m", ("2", 8, 4), ", and more"), "12 m^2, and more"),
        (("the 1", ("st", 7, 4), " of May"), "the 1st of May"),
        (("CO", ("2", 7, -2), " is measured"), "CO2 is measured"),
        (("HX-2041-A and ", ("note", 7, 0), " small"), "HX-2041-A and note small"),
        (("see below.", ("3", 6.6, 3.6), " There"), "see below.^3 There"),
        (("500", ("12", 7, 4), " items"), "500^12 items"),
        (("a smaller ", ("word", 7, 0), " 2031"), "a smaller word 2031"),
    ],
)
def test_raised_marks_do_not_join_the_numbers_before_them(
    parts: tuple[str | tuple[str, float, float], ...], expected: str
) -> None:
    assert one(lambda page: run(page, 72, 700, *parts)) == expected


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("the job that copies is called harbour-|gateway and it is owned by them all", "harbour-gateway"),
        ("of customs. It is a great and well-|known source of load for all of us here", "well-known"),
        ("and the replacement for it is under develop-|ment by the team in the port today", "development"),
        ("we order the spare part called HX-2041-|B from the store at the quay side now", "HX-2041-B"),
        ("these goods go across the border by cross-|border lorries and by the ships of it", "cross-border"),
        ("and the goods are put into a big contai-|ner of steel that the crane can lift up", "container"),
        ("there is the document of the CVE-2031-|4477 that concerns the pumps of the port", "CVE-2031-4477"),
        ("the ships of the line are in the harbour, harbour-|master Brandt is the one to ask for it", "harbour-master"),
    ],
)  # fmt: skip
def test_a_hyphen_at_a_lines_end_stays_where_it_is_the_words_own(broken: str, whole: str) -> None:
    assert f" {whole} " in one(lambda page: lines(page, 72, 700, broken))


def test_the_documents_own_words_decide_on_a_hyphen_first() -> None:
    told = "The sandpiperline is new to us in this port of ours. The quay-side is old and good too.|We speak of the sandpiper-|line and we also speak of the quay-|side of the port at all of our meetings here."
    text = one(lambda page: lines(page, 40, 700, told))
    assert "the sandpiperline and we" in text and "the quay-side of the port" in text


def test_german_compounds_are_written_as_one_word() -> None:
    told = "Der Hafenmeister und die Leute von der Wache sind nicht da, und das ist der Grund, weshalb der Schiffs-|verkehr ruht. Die Nord-|Ost-See ist weit und der Hafen-|lotse kommt mit dem Boot."
    text = one(lambda page: lines(page, 40, 700, told))
    assert "Schiffsverkehr" in text and "Nord-Ost-See" in text and "Hafenlotse" in text


@pytest.mark.parametrize("order", ["by rows", "by columns"])
def test_two_columns_are_read_one_after_the_other(order: str) -> None:
    def draw(page: Canvas) -> None:
        if order == "by columns":
            lines(page, 72, 770, LEFT)
            lines(page, 320, 770, RIGHT)
            return
        for n, (left, right) in enumerate(zip(LEFT.split("|"), RIGHT.split("|"), strict=True)):
            page.drawString(72, 770 - 14 * n, left)
            page.drawString(320, 770 - 14 * n, right)

    text = " ".join(one(draw).split())
    assert LEFT.replace("|", " ") in text and RIGHT.replace("|", " ") in text
    assert text.index("Mooring") < text.index("Fuel")


def test_a_heading_over_two_columns_and_a_line_below_them_keep_their_places() -> None:
    def draw(page: Canvas) -> None:
        page.setFont("Helvetica-Bold", 20)
        page.drawString(72, 800, "Rules of the port")
        page.setFont("Helvetica", 11)
        lines(page, 72, 760, LEFT)
        lines(page, 320, 760, RIGHT)
        page.drawString(
            72, 600, "This line stands below both of the columns, and it is as wide as they are."
        )

    text = one(draw)
    assert text.startswith("# Rules of the port\n\nMooring lines")
    assert text.index("engineer.") < text.index("This line stands")


def test_a_line_that_is_all_of_its_page_is_no_running_head() -> None:
    pages = [f"Ticket {n} admits one." for n in (101, 102, 103)]
    assert read(pdf(*pages), "a.pdf").text.split("\n\n") == pages


def test_a_number_that_does_not_count_the_pages_is_what_the_page_says() -> None:
    numbers = (2041, 2057, 2060, 2093)

    def invoice(number: int) -> Callable[[Canvas], object]:
        def draw(page: Canvas) -> None:
            lines(page, 72, 810, f"Invoice {number}")
            lines(page, 72, 700, "Two cranes were let for a day.|They are paid within a week.")

        return draw

    text = read(drawn(*map(invoice, numbers)), "a.pdf").text
    assert [number for number in numbers if f"Invoice {number}" not in text] == []


def manual(count: int, head: str, foot: str) -> bytes:
    def page(n: int) -> Callable[[Canvas], None]:
        def draw(canvas: Canvas) -> None:
            canvas.drawString(72, 810, head.format(n=n))
            lines(
                canvas,
                72,
                770,
                f"This is the first line of the page {n} and it goes on for a while here.|The second line of it tells the story of the ship called Number {n} of the port.",
            )
            canvas.drawString(72, 40, foot.format(n=n))

        return draw

    return drawn(*(page(n) for n in range(1, count + 1)))


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize(
    ("head", "foot"),
    [
        ("Northwind Port Manual - Edition 9", "Page {n} of 9 - Confidential"),
        ("{n} Northwind", "- {n} -"),
        ("Chapter 3: Tugs {n}", "{n}"),
    ],
)
def test_running_heads_and_page_numbers_are_no_text(count: int, head: str, foot: str) -> None:
    parsed = read(manual(count, head, foot), "a.pdf")
    assert len(parsed.pages) == count
    for said in ("Northwind", "Confidential", "Chapter", "Edition"):
        assert said not in parsed.text
    for n in range(1, count + 1):
        place = parsed.text.index(f"first line of the page {n} ")
        assert page_at(parsed.pages, place) == n


def test_a_line_that_stands_once_at_the_edge_is_kept() -> None:
    data = pdf("Only here: berth 7 is closed.\n\n\nText of page one.", "\n\n\nText of page two.")
    assert "berth 7 is closed" in read(data, "a.pdf").text


def test_a_sentence_goes_on_over_the_border_of_pages() -> None:
    def first(page: Canvas) -> None:
        lines(
            page,
            72,
            770,
            "General rules for tugs are set out below in this chapter of the manual today.|The maximum towing speed of the tug Albatross inside the inner basin is",
        )

    def second(page: Canvas) -> None:
        lines(
            page,
            72,
            770,
            "four knots, and it may be exceeded only with the leave of the harbour mas-|ter. Other rules follow.",
        )

    parsed = read(drawn(first, second), "a.pdf")
    assert "inner basin is four knots, and it" in parsed.text and "harbour master." in parsed.text
    assert page_at(parsed.pages, parsed.text.index("basin")) == 1
    assert page_at(parsed.pages, parsed.text.index("four knots")) == 2
    assert len(parsed.pages) == 2


def test_what_was_filled_into_a_form_stands_behind_its_label() -> None:
    def draw(page: Canvas) -> None:
        form = page.acroForm
        lines(page, 72, 770, "Berth application", 30)
        for n, (label, value) in enumerate(
            (("Vessel name:", "MV Sandpiper"), ("Draught in metres:", "7.85"))
        ):
            y = 740 - 30 * n
            page.drawString(72, y, label)
            form.textfield(
                name=label, value=value, x=200, y=y - 5, width=200, height=18, borderWidth=0
            )
        page.drawString(95, 680, "Dangerous goods")
        form.checkbox(name="goods", checked=True, x=72, y=677, size=14)
        page.drawString(95, 650, "Passengers")
        form.checkbox(name="people", checked=False, x=72, y=647, size=14)
        page.drawString(72, 620, "Berth:")
        form.choice(
            name="berth", value="seven", options=["six", "seven"], x=200, y=615, width=90, height=18
        )

    text = one(draw)
    for line in (
        "Vessel name: MV Sandpiper",
        "Draught in metres: 7.85",
        "[x] Dangerous goods",
        "[ ] Passengers",
        "Berth: seven",
    ):
        assert line in text.split("\n"), text


def annotated(kind: bytes, text: str = "Get the chart reader here.") -> bytes:
    """A page with an annotation over its last word."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Annots[6 0 R]"
        b"/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Length %d>>stream\nBT /F 11 Tf 72 700 Td (%b) Tj ET\nendstream"
        % (len(text) + 30, text.encode()),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        b"<</Type/Annot/Rect[171 696 200 712]" + kind + b">>",
    ]
    numbered = b"".join(b"%d 0 obj%b endobj\n" % (n, o) for n, o in enumerate(objects, 1))
    return b"%PDF-1.5\n" + numbered + b"trailer<</Root 1 0 R/Size 7>>\n%%EOF"


def test_links_keep_their_addresses_and_typed_on_words_are_read() -> None:
    link = annotated(b"/Subtype/Link/A<</S/URI/URI(https://files.example/chart-4.2.msi)>>")
    assert (
        read(link, "a.pdf").text
        == "Get the chart reader [here](https://files.example/chart-4.2.msi)."
    )
    typed = annotated(b"/Subtype/FreeText/Contents(Approved by Brandt)/DA(/F 11 Tf)")
    assert "Approved by Brandt" in read(typed, "a.pdf").text
    assert (
        read(annotated(b"/Subtype/Text/Contents(a private note)"), "a.pdf").text
        == "Get the chart reader here."
    )


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_page_that_is_shown_turned_is_read_line_by_line(turn: int) -> None:
    def draw(page: Canvas) -> None:
        page.setPageRotation(turn)
        lines(page, 72, 770, LEFT)

    data = drawn(draw)
    assert " ".join(read(data, "a.pdf").text.split()) == LEFT.replace("|", " ")


@pytest.mark.parametrize("turn", [90, -90])
def test_text_that_runs_up_or_down_an_upright_page_is_read_line_by_line(turn: int) -> None:
    def draw(page: Canvas) -> None:
        page.translate(300, 400)
        page.rotate(turn)
        lines(
            page, -100, 60, "The crane lifts forty tonnes in all.|The hoist takes ten of them up."
        )

    assert one(draw) == "The crane lifts forty tonnes in all.\nThe hoist takes ten of them up."


def test_a_ruled_table_is_markdown_and_a_price_stays_on_its_row() -> None:
    out = io.BytesIO()
    rows = [
        ["Berth", "Length", "Lead"],
        ["7", "140 m", "Brandt"],
        ["8", "95 m", "Okafor"],
        ["9", "60 m", "Moreau"],
    ]
    table = Table(rows, colWidths=[80, 80, 120])
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black)]))
    styles = getSampleStyleSheet()
    story = [
        Paragraph("Berths of the port", styles["Heading1"]),
        Paragraph(LEFT.replace("|", " "), styles["Normal"]),
        table,
    ]
    SimpleDocTemplate(out, pagesize=A4).build(story)
    text = read(out.getvalue(), "a.pdf").text
    assert text.startswith("# Berths of the port")
    assert (
        "| Berth | Length | Lead |\n|---|---|---|\n| 7 | 140 m | Brandt |\n| 8 | 95 m | Okafor |"
        in text
    )


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Microsoft Word - Document1", "drill"),
        ("Microsoft Word - Lifeboat drill.docx", "Lifeboat drill"),
        ("untitled", "drill"),
        ("PowerPoint Presentation", "drill"),
        ("Präsentation1", "drill"),
        ("C:\\temp\\x1.tmp", "drill"),
        ("12345", "drill"),
        ("report.pdf", "report"),
        ("Scan_20310502", "drill"),
        ("Lifeboat drill instructions", "Lifeboat drill instructions"),
        ("Document management in ports", "Document management in ports"),
    ],
)
def test_a_title_that_a_program_wrote_is_none(title: str, expected: str) -> None:
    assert read(pdf("Words of the page.", title=title), "dir/drill.pdf").title == expected


def test_ligatures_and_slanted_letters_are_plain_ones() -> None:
    assert plain(unligated("of\ufb01ce e\ufb03cient \U0001d447 = 4")) == "office efficient T = 4"


def test_pictures_without_ocr_are_told_by_their_pages() -> None:
    def picture(page: Canvas) -> None:
        page.rect(0, 0, 0, 0)
        page.drawInlineImage(_grey(), 72, 100, 400, 600)

    def stamped(page: Canvas) -> None:
        picture(page)
        page.drawString(72, 30, "Page 3")

    text = lambda page: lines(page, 72, 770, LEFT)  # noqa: E731
    parsed = read(drawn(text, picture, stamped, text, lambda page: None), "a.pdf")
    (warned,) = parsed.warnings
    assert (warned.code, warned.pages) == ("no_text", (2, 3))
    assert "Pages 2-3" in warned.message and "OCR is not set up here" in warned.message


def _grey() -> Any:
    return Image.new("L", (4, 4), 128)


def test_two_readers_that_differ_on_a_page_are_told() -> None:
    seen = ParsedPage(1, 1.0, 1.0, "entirely other words " * 9)
    words = [Word(f"word{n}", 0, 0, 1, 1) for n in range(30)]
    assert _differ(Page(1, 1, 1, words), seen)
    seen.text = " ".join(word.text for word in words)
    assert not _differ(Page(1, 1, 1, words), seen)
