# ruff: noqa: RUF001 - Russian letters look like others
"""Workbooks and separated values: tables with their headers, numbers as they are shown."""

import io
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from making import codes, read, repacked
from openpyxl import Workbook
from openpyxl.comments import Comment

from parser.model import Parsed, ParseError
from parser.numberformat import shown


def workbook(build: Callable[[Any], object]) -> bytes:
    book = Workbook()
    build(book)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def sheet(*rows: list[Any], name: str = "Berths") -> Callable[[Any], None]:
    def build(book: Any) -> None:
        book.active.title = name
        for row in rows:
            book.active.append(row)

    return build


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (1234.5, "General", "1234.5"),
        (0.1 + 0.2, "General", "0.3"),
        (1e20, "General", "1e+20"),
        (12345678901, "General", "12345678901"),
        (1234.5, "#,##0.00", "1,234.50"),
        (1234567, "#,##0", "1,234,567"),
        (0.0725, "0.0%", "7.2%"),
        (0.5, "0%", "50%"),
        (40, '0 "€"', "40 €"),
        (40, '[$€-407] #,##0.00', "€ 40.00"),
        (-3, "0.00;[Red](0.00)", "(3.00)"),
        (-3, "$0.00", "-$3.00"),
        (0, '0;-0;"none"', "none"),
        (1067, "00000", "01067"),
        (123456789, "000-00-0000", "123-45-6789"),
        (5550142, "000\\-0000", "555-0142"),
        (1234567, '0.0,,"M"', "1.2M"),
        (0.00012, "0.00E+00", "1.20E-04"),
        (3.14, "0.0##", "3.14"),
        (3, "0.0##", "3.0"),
        (3.5, "#.##", "3.5"),
        (7.85, "0.00 \"m\"", "7.85 m"),
        (0.25, "# ?/?", "0.25"),
        (True, "General", "TRUE"),
        ("007", "@", "007"),
        (datetime(2031, 5, 2), "dd.mm.yyyy", "2031-05-02"),
        (datetime(2031, 5, 2, 14, 5), "m/d/yy h:mm", "2031-05-02 14:05"),
        (date(2031, 5, 2), "d", "2031-05-02"),
        (time(7, 45), "h:mm", "07:45"),
        (timedelta(hours=26, minutes=30), "[h]:mm", "26:30"),
        (None, "General", ""),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_its_reader_sees_it(value: object, form: str, expected: str) -> None:
    assert shown(value, form) == expected


def test_each_sheet_is_a_table_under_its_name_with_numbers_as_shown() -> None:
    def build(book: Any) -> None:
        sheet(["Berth", "Length", "Share", "Since"], [7, 140, 0.5, date(2031, 5, 2)])(book)
        for cell, form in (("B2", '0 "m"'), ("C2", "0%"), ("D2", "dd/mm/yyyy")):
            book.active[cell].number_format = form
        book.create_sheet("Leads").append(["Brandt"])

    parsed = read(workbook(build), "a.xlsx")
    assert parsed.text == (
        "## Berths\n\n| Berth | Length | Share | Since |\n|---|---|---|---|\n"
        "| 7 | 140 m | 50% | 2031-05-02 |\n\n## Leads\n\nBrandt"
    )
    assert parsed.markdown and parsed.warnings == ()


def test_hidden_sheets_rows_and_columns_are_left_out_and_told() -> None:
    def build(book: Any) -> None:
        sheet(["Berth", "Secret", "Price"], [7, 1, 40], [8, 2, 999])(book)
        book.active.column_dimensions["B"].hidden = True
        book.active.row_dimensions[3].hidden = True
        for state in ("hidden", "veryHidden"):
            book.create_sheet(state).append(["777"])
            book[state].sheet_state = state

    parsed = read(workbook(build), "a.xlsx")
    assert parsed.text == "## Berths\n\n| Berth | Price |\n|---|---|\n| 7 | 40 |"
    assert codes(parsed) == ["hidden_left_out", "hidden_left_out"]
    assert "hidden" in parsed.warnings[0].message and "1 hidden rows" in parsed.warnings[1].message


def test_titles_above_tables_several_tables_and_merged_cells() -> None:
    def build(book: Any) -> None:
        sheet(
            ["Price list 2031"], [], ["Day", "Shift"], ["Monday", "Early"], [None, "Late"], [],
            ["Note"], ["Prices in euros"],
        )(book)  # fmt: skip
        book.active.merge_cells("A4:A5")

    assert read(workbook(build), "a.xlsx").text == (
        "## Berths\n\nPrice list 2031\n\n| Day | Shift |\n|---|---|\n| Monday | Early |\n"
        "| Monday | Late |\n\nNote\nPrices in euros"
    )


def test_a_formula_without_a_value_stands_as_it_is_and_is_told() -> None:
    parsed = read(workbook(sheet(["A", "B"], [1, "=A2*2"])), "a.xlsx")
    assert "| 1 | =A2*2 |" in parsed.text
    assert codes(parsed) == ["unknown_values"]


def test_notes_at_cells_are_read() -> None:
    def build(book: Any) -> None:
        sheet(["A", "B"], [1, 2])(book)
        book.active["B2"].comment = Comment("Checked by Brandt", "x")

    assert "Note at B2: Checked by Brandt" in read(workbook(build), "a.xlsx").text


def test_a_cell_far_away_costs_nothing() -> None:
    def build(book: Any) -> None:
        sheet(["A", "B"], [1, 2])(book)
        book.active["XFD1048576"] = "far"

    text = read(workbook(build), "a.xlsx").text
    assert "| 1 | 2 |" in text and "far" in text


def test_macro_workbooks_are_read_and_binary_ones_refused() -> None:
    plain = workbook(sheet(["A", "B"], [1, 2]))

    def macros(name: str, content: bytes) -> bytes:
        return content.replace(
            b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
            b"application/vnd.ms-excel.sheet.macroEnabled.main+xml",
        )

    assert "| 1 | 2 |" in read(repacked(plain, macros), "a.xlsm").text


def table_of(data: bytes, name: str = "a.csv", media_type: str | None = None) -> Parsed:
    return read(data, name, media_type)


ROWS = "| port | owner |\n|---|---|\n| 8000 | Okafor |\n| 8001 | Brandt |"


@pytest.mark.parametrize(
    "data",
    [
        "port,owner\n8000,Okafor\n8001,Brandt\n",
        "port;owner\r\n8000;Okafor\r\n8001;Brandt",
        "port\towner\n8000\tOkafor\n8001\tBrandt",
        "port|owner\n8000|Okafor\n8001|Brandt",
        '"port","owner"\n"8000","Okafor"\n"8001","Brandt"\n',
        "sep=;\nport;owner\n8000;Okafor\n8001;Brandt",
        "\ufeffport,owner\n8000,Okafor\n8001,Brandt",
        "port,owner,\n8000,Okafor,\n8001,Brandt,\n,,\n",
    ],
)
def test_any_delimiter_gives_the_same_table(data: str) -> None:
    assert table_of(data.encode()).text == ROWS
    assert table_of(data.encode(), "a", "text/csv").text == ROWS


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("name;price\nA;1,50\nB;2,75", "| name | price |\n|---|---|\n| A | 1,50 |\n| B | 2,75 |"),
        ('a,b\n"x, y","two\nlines"', "| a | b |\n|---|---|\n| x, y | two lines |"),
        ("a,b\n1\n1,2,3", "| a | b |  |\n|---|---|---|\n| 1 |  |  |\n| 1 | 2 | 3 |"),
        ('a,b\n"he said ""no""",2', '| a | b |\n|---|---|\n| he said "no" | 2 |'),
        ("Report of May\n\na,b\n1,2", "Report of May\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
        ("one\ntwo\n", "one\ntwo"),
        ("a,b\n001,2031-05-02", "| a | b |\n|---|---|\n| 001 | 2031-05-02 |"),
    ],
)
def test_values_are_kept_as_they_are(data: str, expected: str) -> None:
    assert table_of(data.encode()).text == expected


def test_a_quote_that_nothing_closes_loses_no_row() -> None:
    text = table_of(('a,b\n1,"open\n' + "2,3\n" * 5).encode()).text
    assert "open" in text and text.count("2,3") + text.count("2 | 3") == 5


def test_a_file_in_another_encoding_is_read_as_it_is_declared_and_else_guessed() -> None:
    data = "имя;город\nАнна;Тверь\n".encode("koi8_r")
    assert "Анна" in table_of(data, media_type="text/csv; charset=koi8-r").text
    guessed = table_of("name;ort\nMüller;Köln\nWeiß;Süd\n".encode("cp1252"))
    assert "Köln" in guessed.text and codes(guessed) == ["charset_guessed"]


def test_rows_without_a_header_have_an_empty_one() -> None:
    text = read(b"2031-01-01,4.5\n2031-01-02,4.6\n", "a.csv").text
    assert text == "|  |  |\n|---|---|\n| 2031-01-01 | 4.5 |\n| 2031-01-02 | 4.6 |"
    assert read(b"Port,2029,2030\nKiel,4.5,4.6\n", "a.csv").text.startswith(
        "| Port | 2029 | 2030 |"
    )


def test_a_package_that_names_no_workbook_is_refused_in_words() -> None:
    def other(_: str, content: bytes) -> bytes:
        return content.replace(b"sheet.main+xml", b"sheet.mine+xml")

    data = repacked(workbook(sheet(["berth", 7])), other)
    with pytest.raises(ParseError, match="damaged"):
        read(data, "a.xlsx")
