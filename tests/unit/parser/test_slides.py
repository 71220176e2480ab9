# ruff: noqa: E501 - long lines are data
"""Presentations: a section for each visible slide, in the order in which it is read."""

import io
from collections.abc import Callable
from typing import Any

from making import codes, read
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from retriever.parsed import page_at


def deck(build: Callable[[Any], object]) -> bytes:
    presentation = Presentation()
    build(presentation)
    out = io.BytesIO()
    presentation.save(out)
    return out.getvalue()


def slide(deck: Any, title: str, layout: int = 5) -> Any:
    made = deck.slides.add_slide(deck.slide_layouts[layout])
    if made.shapes.title is not None:
        made.shapes.title.text = title
    return made


def test_title_list_table_chart_notes_and_alternative_text_are_read_in_order() -> None:
    def build(deck: Any) -> None:
        first = slide(deck, "Berths", 1)
        body = first.placeholders[1].text_frame
        body.text = "Open since May"
        for text, level in (("Berth 7", 1), ("Closed in June", 0)):
            paragraph = body.add_paragraph()
            paragraph.text, paragraph.level = text, level
        first.notes_slide.notes_text_frame.text = "Say that berth 9 is new."
        second = slide(deck, "Shifts")
        low = second.shapes.add_textbox(Inches(1), Inches(6), Inches(4), Inches(1))
        low.text_frame.text = "Below the table"
        table = second.shapes.add_table(3, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
        for row, cells in enumerate((("Day", "Lead"), ("Monday", "Brandt"), ("", "Okafor"))):
            for column, text in enumerate(cells):
                table.cell(row, column).text = text
        table.cell(1, 0).merge(table.cell(2, 0))
        data = CategoryChartData()
        data.categories = ["May", "June"]
        data.add_series("Ships", (3, 4.5))
        third = slide(deck, "Growth")
        box = (Inches(1), Inches(2), Inches(4), Inches(3))
        third.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *box, data)

    parsed = read(deck(build), "a.pptx")
    assert parsed.text == (
        "## Berths\n\n- Open since May\n  - Berth 7\n- Closed in June\n\nNotes: Say that berth 9 is new.\n\n"
        "## Shifts\n\n| Day | Lead |\n|---|---|\n| Monday | Brandt |\n| Monday | Okafor |\n\nBelow the table\n\n"
        "## Growth\n\n|  | Ships |\n|---|---|\n| May | 3 |\n| June | 4.5 |"
    )  # fmt: skip
    assert [
        page_at(parsed.pages, parsed.text.index(word)) for word in ("Berths", "Okafor", "4.5")
    ] == [1, 2, 3]


def test_hidden_slides_and_shapes_are_left_out_and_pages_keep_their_numbers() -> None:
    def build(deck: Any) -> None:
        slide(deck, "One")
        slide(deck, "Secret 999")._element.set("show", "0")
        slide(deck, "Three")

    parsed = read(deck(build), "a.pptx")
    assert "999" not in parsed.text
    assert codes(parsed) == ["hidden_left_out"] and parsed.warnings[0].pages == (2,)
    assert page_at(parsed.pages, parsed.text.index("Three")) == 3


def test_raised_numbers_links_groups_and_columns() -> None:
    def build(deck: Any) -> None:
        made = slide(deck, "Facts")
        right = made.shapes.add_textbox(Inches(6), Inches(2), Inches(3), Inches(1))
        right.text_frame.text = "right"
        left = made.shapes.add_textbox(Inches(1), Inches(2), Inches(3), Inches(1)).text_frame
        paragraph = left.paragraphs[0]
        paragraph.add_run().text = "10"
        up = paragraph.add_run()
        up.text = "6"
        up._r.get_or_add_rPr().set("baseline", "30000")
        link = paragraph.add_run()
        link.text = " here"
        link.hyperlink.address = "https://files.example/x"
        group = made.shapes.add_group_shape()
        inner = group.shapes.add_textbox(Inches(1), Inches(4), Inches(3), Inches(1))
        inner.text_frame.text = "in a group"

    text = read(deck(build), "a.pptx").text
    assert (
        text
        == "## Facts\n\n10^6[ here](https://files.example/x)\n\nright\n\nin a group".replace(
            "[ here]", " [here]"
        )
    )


def test_a_deck_without_a_word_is_empty_but_for_its_slides() -> None:
    assert read(deck(lambda deck: slide(deck, "", 6)), "a.pptx").text == "## Slide 1"
