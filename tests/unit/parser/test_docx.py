# ruff: noqa: E501 - XML is read better on one line
"""Word files as people's programs write them: what a reader sees, in numbers that are right."""

import io
import zipfile
from typing import Any

import docx
import pytest
from making import W, codes, read, repacked, word, word_xml

MAIN = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"


def p(*runs: str, style: str = "", inside: str = "") -> str:
    """A paragraph of runs, each text or XML."""
    told = (f'<w:pStyle w:val="{style}"/>' if style else "") + inside
    body = "".join(one if one.startswith("<") else r(one) for one in runs)
    return f"<w:p>{f'<w:pPr>{told}</w:pPr>' if told else ''}{body}</w:p>"


def r(text: str, properties: str = "") -> str:
    told = f"<w:rPr>{properties}</w:rPr>" if properties else ""
    return f'<w:r>{told}<w:t xml:space="preserve">{text}</w:t></w:r>'


def text_of(body: str, **parts: str) -> str:
    return read(word_xml(body, parts), "a.docx").text


UP = '<w:vertAlign w:val="superscript"/>'


DARK = '<w:shd w:fill="000000"/>'
WHITE = '<w:color w:val="FFFFFF"/>'


def test_white_words_on_paper_and_words_too_small_are_hidden_and_on_a_colour_they_are_not() -> None:
    body = p("40 euros", r(" 999", WHITE), r(" 998", '<w:sz w:val="2"/>'))
    parsed = read(word_xml(body), "a.docx")
    assert (parsed.text, codes(parsed)) == ("40 euros", ["hidden_left_out"])
    assert text_of(p(r("on black", WHITE), inside=DARK)) == "on black"
    assert text_of(p(r("marked", WHITE + '<w:highlight w:val="red"/>'))) == "marked"
    cell = f"<w:tc><w:tcPr>{DARK}</w:tcPr>{p(r('Port', WHITE))}</w:tc><w:tc>{p('Fee')}</w:tc>"
    assert "| Port | Fee |" in text_of(f"<w:tbl><w:tr>{cell}</w:tr></w:tbl>")
    shaded = f'<w:styles {W}><w:style w:styleId="B"><w:pPr>{DARK}</w:pPr></w:style></w:styles>'
    assert text_of(p(r("banner", WHITE), style="B"), styles=shaded) == "banner"


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ('<w:r><w:t>CVE</w:t><w:noBreakHyphen/><w:t>2031</w:t></w:r>', "CVE-2031"),
        (r("quay\u2011side and data\u00adbase and 5\u00a0km"), "quay-side and database and 5 km"),
        (r("10") + r("6", UP) + r(" packets"), "10^6 packets"),
        (r("10") + r("-", UP) + r("3", UP) + r(" s"), "10^-3 s"),
        (r("500") + r("1", UP) + r(", then"), "500^1, then"),
        (r("the 1") + r("st", UP) + r(" of May"), "the 1st of May"),
        (r("CO") + r("2", '<w:vertAlign w:val="subscript"/>'), "CO2"),
        (r("seen") + r("HIDDEN", "<w:vanish/>"), "seen"),
        (r("seen", '<w:vanish w:val="0"/>'), "seen"),
        (r("999", "<w:strike/>") + r(" 40 euros"), "~~999~~ 40 euros"),
        ("<w:del><w:r><w:delText>old</w:delText></w:r></w:del><w:ins>" + r("new") + "</w:ins>", "new"),
        ("<w:moveFrom>" + r("from") + "</w:moveFrom><w:moveTo>" + r("to") + "</w:moveTo>", "to"),
        ('<w:r><w:sym w:font="Symbol" w:char="F0B1"/><w:t>5 </w:t>'
         '<w:sym w:font="Wingdings" w:char="F0FC"/></w:r>', "±5 ✓"),
        (r("one") + "<w:r><w:br/><w:t>two</w:t></w:r>", "one\ntwo"),
        ('<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr><w:sdtContent>' + r("Click here")
         + "</w:sdtContent></w:sdt>" + r("filled"), "filled"),
        ('<w:sdt><w:sdtContent>' + r("chosen") + "</w:sdtContent></w:sdt>", "chosen"),
        ('<w:fldSimple w:instr="DATE">' + r("2 May 2031") + "</w:fldSimple>", "2 May 2031"),
        ('<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>HYPERLINK "https://a.example/x"'
         '</w:instrText></w:r><w:r><w:fldChar w:fldCharType="separate"/></w:r>' + r("here")
         + '<w:r><w:fldChar w:fldCharType="end"/></w:r>' + r(" it is"),
         "[here](https://a.example/x) it is"),
        ('<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:checkBox><w:checked/></w:checkBox></w:ffData>'
         '</w:fldChar></w:r><w:r><w:instrText>FORMCHECKBOX</w:instrText></w:r>'
         '<w:r><w:fldChar w:fldCharType="end"/></w:r>' + r(" Yes"), "[x] Yes"),
        ('<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>REF x</w:instrText></w:r>'
         '<w:r><w:fldChar w:fldCharType="separate"/></w:r>' + r("4.2")
         + '<w:r><w:fldChar w:fldCharType="end"/></w:r>', "4.2"),
        ('<w:r><w:ruby><w:rt>' + r("kan") + '</w:rt><w:rubyBase>' + r("漢")
         + "</w:rubyBase></w:ruby></w:r>", "漢(kan)"),
    ],
)  # fmt: skip
def test_runs_say_what_their_reader_sees(runs: str, expected: str) -> None:
    assert text_of(p(runs)) == expected


def test_hidden_text_is_left_out_and_told_also_by_its_style() -> None:
    styles = (
        f'<w:styles xmlns:w="{MAIN}"><w:style w:type="paragraph" w:styleId="Secret">'
        '<w:name w:val="Secret"/><w:rPr><w:vanish/></w:rPr></w:style>'
        '<w:style w:type="character" w:styleId="Quiet"><w:name w:val="Quiet"/>'
        "<w:rPr><w:vanish/></w:rPr></w:style></w:styles>"
    )
    body = p("40 euros") + p("900 euros", style="Secret") + p(r("777", '<w:rStyle w:val="Quiet"/>'))
    parsed = read(word_xml(body, {"styles": styles}), "a.docx")
    assert parsed.text == "40 euros"
    assert codes(parsed) == ["hidden_left_out"]
    assert "12 characters" in parsed.warnings[0].message


def test_footnotes_and_endnotes_stand_where_they_are_referred_to() -> None:
    notes = {
        name: f'<w:{name} xmlns:w="{MAIN}"><w:{name[:-1]} w:id="2">'
        + p(said)
        + f"</w:{name[:-1]}></w:{name}>"
        for name, said in (("footnotes", "Since May."), ("endnotes", "By law."))
    }
    body = p(
        "48 hours", '<w:r><w:footnoteReference w:id="2"/></w:r>', " and 90 days",
        '<w:r><w:endnoteReference w:id="2"/></w:r>', ".",
    )  # fmt: skip
    assert text_of(body, **notes) == "48 hours [Since May.] and 90 days [By law.]."


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("<m:r><m:t>T=9550·P/n</m:t></m:r>", "$T=9550·P/n$"),
        ("<m:f><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f>",
         "$(a+b)/2$"),
        ("<m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup>",
         "$x^2$"),
        ("<m:rad><m:deg/><m:e><m:r><m:t>2</m:t></m:r></m:e></m:rad>", "$sqrt(2)$"),
        ('<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub><m:r><m:t>i=1</m:t></m:r></m:sub>'
         "<m:sup><m:r><m:t>n</m:t></m:r></m:sup><m:e><m:r><m:t>i</m:t></m:r></m:e></m:nary>",
         "$∑_(i=1)^n i$"),
        ("<m:d><m:e><m:r><m:t>a</m:t></m:r></m:e></m:d>", "$(a)$"),
    ],
)  # fmt: skip
def test_equations_are_read_on_one_line(formula: str, expected: str) -> None:
    math = f'<m:oMath xmlns:m="{MATH}">{formula}</m:oMath>'
    assert text_of(p("Here ", math, ".")) == f"Here {expected}."
    assert text_of(f'<w:p><m:oMathPara xmlns:m="{MATH}">{math}</m:oMathPara></w:p>') == expected


def numbering(*levels: str, more: str = "") -> str:
    told = "".join(
        f'<w:lvl w:ilvl="{n}"><w:start w:val="1"/>{level}</w:lvl>' for n, level in enumerate(levels)
    )
    return (
        f'<w:numbering xmlns:w="{MAIN}"><w:abstractNum w:abstractNumId="7">{told}</w:abstractNum>'
        f'<w:num w:numId="3"><w:abstractNumId w:val="7"/></w:num>{more}</w:numbering>'
    )


def level(kind: str, text: str, more: str = "") -> str:
    return f'<w:numFmt w:val="{kind}"/><w:lvlText w:val="{text}"/>{more}'


def item(text: str, depth: int = 0, number: int = 3) -> str:
    listed = f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{number}"/></w:numPr>'
    return p(text, inside=listed)


def test_list_items_have_the_numbers_that_word_writes() -> None:
    told = numbering(
        level("decimal", "%1."), level("lowerLetter", "%2)"), level("lowerRoman", "(%3)")
    )
    body = (
        item("a")
        + item("b")
        + item("x", 1)
        + item("y", 1)
        + item("deep", 2)
        + item("c")
        + item("z", 1)
    )
    assert text_of(body, numbering=told) == (
        "1. a\n2. b\n  a) x\n  b) y\n    (i) deep\n3. c\n  a) z"
    )


def test_a_list_goes_on_after_a_paragraph_and_begins_anew_where_it_is_told_to() -> None:
    anew = (
        '<w:num w:numId="4"><w:abstractNumId w:val="7"/><w:lvlOverride w:ilvl="0">'
        '<w:startOverride w:val="1"/></w:lvlOverride></w:num>'
    )
    body = item("a") + p("between") + item("b") + item("c", number=4) + item("d", number=4)
    told = numbering(level("decimal", "%1."), more=anew)
    assert text_of(body, numbering=told) == "1. a\n\nbetween\n\n2. b\n1. c\n2. d"


def test_numbers_of_several_levels_start_values_and_bullets() -> None:
    told = numbering(
        level("upperRoman", "Article %1"),
        level("decimal", "%1.%2", "<w:isLgl/>"),
        level("bullet", "·"),
    ).replace('<w:start w:val="1"/>', '<w:start w:val="4"/>', 1)
    body = item("Scope") + item("who", 1) + item("what", 1) + item("point", 2) + item("Term")
    assert text_of(body, numbering=told) == (
        "Article IV Scope\n  4.4 who\n  4.5 what\n    - point\nArticle V Term"
    ).replace("4.4", "4.1").replace("4.5", "4.2")


def test_headings_have_their_numbers_from_the_list_their_style_belongs_to() -> None:
    styles = (
        f'<w:styles xmlns:w="{MAIN}">'
        '<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/><w:pPr><w:numPr>'
        '<w:numId w:val="3"/></w:numPr></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="H2"><w:name w:val="heading 2"/><w:basedOn w:val="H1"/>'
        '<w:pPr><w:numPr><w:ilvl w:val="1"/></w:numPr></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="Own"><w:name w:val="Überschrift eigene"/>'
        '<w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style></w:styles>'
    )
    told = numbering(
        level("decimal", "%1", '<w:pStyle w:val="H1"/>'),
        level("decimal", "%1.%2", '<w:pStyle w:val="H2"/>'),
    )
    body = (
        p("Scope", style="H1") + p("Text") + p("Liability", style="H1") + p("Limit", style="H2")
        + p("Cap", style="Own")
    )  # fmt: skip
    parsed = read(word_xml(body, {"styles": styles, "numbering": told}), "a.docx")
    assert parsed.text == "# 1 Scope\n\nText\n\n# 2 Liability\n\n## 2.1 Limit\n\n### Cap"
    assert [(h.level, h.words) for h in parsed.headings] == [
        (1, "1 Scope"), (1, "2 Liability"), (2, "2.1 Limit"), (3, "Cap"),
    ]  # fmt: skip


def test_a_table_of_contents_is_left_out() -> None:
    styles = (
        f'<w:styles xmlns:w="{MAIN}"><w:style w:type="paragraph" w:styleId="TOC1">'
        '<w:name w:val="toc 1"/></w:style></w:styles>'
    )
    assert text_of(p("Scope\t3", style="TOC1") + p("Text"), styles=styles) == "Text"


def cell(text: str, properties: str = "") -> str:
    return (
        f"<w:tc><w:tcPr>{properties}</w:tcPr>{p(text) if not text.startswith('<') else text}</w:tc>"
    )


def rows(*told: str) -> str:
    return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in told) + "</w:tbl>"


def test_tables_hold_what_their_merged_cells_cover_and_no_deleted_rows() -> None:
    body = rows(
        cell("Day") + cell("Shift") + cell("Lead"),
        cell("Monday", '<w:vMerge w:val="restart"/>') + cell("Early") + cell("Brandt"),
        cell("", "<w:vMerge/>") + cell("Late") + cell("A|B"),
        "<w:trPr><w:del/></w:trPr>" + cell("gone") + cell("gone") + cell("gone"),
        cell("Rest", '<w:gridSpan w:val="2"/>') + cell("Okafor"),
    )
    assert text_of(body) == (
        "| Day | Shift | Lead |\n|---|---|---|\n| Monday | Early | Brandt |\n"
        "| Monday | Late | A\\|B |\n| Rest | Rest | Okafor |"
    )


def test_a_frame_of_one_cell_is_no_table_and_a_table_within_a_cell_stays_on_its_line() -> None:
    assert text_of(rows(cell("Note: mind the gap."))) == "Note: mind the gap."
    inner = rows(cell("x") + cell("y"), cell("1") + cell("2"))
    told = text_of(rows(cell("A") + cell("B"), cell("1") + cell(inner + p("end"))))
    assert told.splitlines()[2].startswith("| 1 | ") and told.count("\n") == 2
    for word_ in ("x", "y", "1", "2", "end"):
        assert word_ in told.splitlines()[2]


def test_text_boxes_alternative_texts_and_charts_are_read_once() -> None:
    wp = "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"
    mc = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    c = "http://schemas.openxmlformats.org/drawingml/2006/chart"
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    box = f"<w:txbxContent>{p('In the box.')}</w:txbxContent>"
    drawing = (
        f'<mc:AlternateContent xmlns:mc="{mc}"><mc:Choice><w:drawing><wp:inline xmlns:wp="{wp}">'
        f'<wp:docPr id="1" name="x" descr="Pressure 15 bar"/>{box}<c:chart xmlns:c="{c}"'
        f' xmlns:r="{rel}" r:id="rId90"/></wp:inline></w:drawing></mc:Choice>'
        f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent>"
    )
    points = "".join(
        f"<c:{tag}><c:pt idx='0'><c:v>{a}</c:v></c:pt><c:pt idx='1'><c:v>{b}</c:v></c:pt></c:{tag}>"
        for tag, a, b in (("cat", "May", "June"), ("val", "3", "4.5"))
    )
    chart = (
        f'<c:chartSpace xmlns:c="{c}"><c:chart><c:plotArea><c:ser><c:tx><c:v>Ships</c:v></c:tx>'
        f"{points}</c:ser></c:plotArea></c:chart></c:chartSpace>"
    )
    told = text_of(f"<w:p><w:r><w:t>See</w:t></w:r><w:r>{drawing}</w:r></w:p>", chart1=chart)
    assert told == (
        "See ![Pressure 15 bar]\n\nIn the box.\n\n|  | Ships |\n|---|---|\n| May | 3 |\n| June | 4.5 |"
    )


def test_the_main_part_may_have_another_name_be_strict_or_hold_macros() -> None:
    plain = word(lambda d: d.add_heading("Gate code", 1))

    def renamed(name: str, content: bytes) -> bytes:
        return content.replace(b"document.xml", b"document2.xml")

    def strict(name: str, content: bytes) -> bytes:
        for usual, other in (
            (b"http://schemas.openxmlformats.org/wordprocessingml/2006/main",
             b"http://purl.oclc.org/ooxml/wordprocessingml/main"),
            (b"http://schemas.openxmlformats.org/officeDocument/2006/relationships",
             b"http://purl.oclc.org/ooxml/officeDocument/relationships"),
        ):  # fmt: skip
            content = content.replace(usual, other)
        return content

    def macros(name: str, content: bytes) -> bytes:
        return content.replace(
            b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
            b"application/vnd.ms-word.document.macroEnabled.main+xml",
        )

    other = repacked(plain, renamed, rename=lambda n: n.replace("document.xml", "document2.xml"))
    for data in (other, repacked(plain, strict), repacked(plain, macros)):
        parsed = read(data, "a.docx")
        assert (parsed.text, parsed.title) == ("# Gate code", "Gate code")


def test_title_and_author_of_the_file_are_known_and_a_programs_own_title_is_not() -> None:
    def build(document: Any) -> None:
        document.core_properties.title = "Lease of berth 7"
        document.core_properties.author = "Priya Raman"
        document.add_paragraph("Text")

    parsed = read(word(build), "x.docx")
    assert (parsed.title, parsed.metadata) == ("Lease of berth 7", {"author": "Priya Raman"})
    for junk in ("Word Document", "Microsoft Word - Dokument1", "Document1", "untitled.doc"):

        def unchosen(document: Any, junk: str = junk) -> None:
            document.core_properties.title = junk
            document.add_paragraph("Text")

        assert read(word(unchosen), "x.docx").title == "x"


def test_a_word_file_written_by_another_program_without_styles_is_read() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("[Content_Types].xml", '<Types xmlns="http://schemas.openxmlformats.org/package/'
                         '2006/content-types"><Override PartName="/word/document.xml" ContentType='
                         '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.'
                         'main+xml"/></Types>')  # fmt: skip
        archive.writestr("_rels/.rels", '<Relationships xmlns="http://schemas.openxmlformats.org/package/'
                         '2006/relationships"><Relationship Id="r" Target="/word/document.xml" Type="http:'
                         '//schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/>'
                         "</Relationships>")  # fmt: skip
        archive.writestr(
            "word/document.xml", f"<w:document {W}><w:body>{p('Plain.')}</w:body></w:document>"
        )
    assert read(out.getvalue(), "a.docx").text == "Plain."


def test_python_docxs_own_list_styles_are_numbered() -> None:
    def build(document: docx.document.Document) -> None:
        for text in ("Open the valve.", "Prime the pump."):
            document.add_paragraph(text, style="List Number")
        document.add_paragraph("Mind the gap.", style="List Bullet")

    assert (
        read(word(build), "a.docx").text
        == "1. Open the valve.\n2. Prime the pump.\n- Mind the gap."
    )
