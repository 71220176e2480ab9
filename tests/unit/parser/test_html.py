# ruff: noqa: E501 - markup is read better on one line
"""Web pages: what a reader sees of the main content, its tables, lists, links and numbers."""

import pytest
from making import codes, read

from parser.model import Parsed


def page(body: str, head: str = "") -> Parsed:
    return read(f"<html><head>{head}</head><body>{body}</body></html>".encode(), "a.html")


SEEN = "<p>The berth costs 40 euros.</p>"


@pytest.mark.parametrize(
    "hidden",
    [
        "<div style='display:none'>999</div>",
        "<div style='color:red; display : none !important'>999</div>",
        "<p style='visibility:hidden'>999</p>",
        "<p hidden>999</p>",
        "<p hidden='until-found'>999</p>",
        "<span aria-hidden='true'>999</span>",
        "<p style='font-size:0'>999</p>",
        "<p style='opacity:0'>999</p>",
        "<p style='position:absolute;left:-9999px'>999</p>",
        "<p class='sr-only'>999</p>",
        "<template><p>999</p></template>",
        "<dialog>999</dialog>",
        "<input type=hidden value=999>",
        "<script>var price = 999</script>",
        "<!-- 999 -->",
        "<div style='display:none'><div><p>nested 999</p></div></div>",
        "<table hidden><tr><td>999</td><td>1</td></tr></table>",
    ],
)
def test_what_no_reader_sees_is_left_out(hidden: str) -> None:
    assert page(SEEN + hidden).text == "The berth costs 40 euros."


def test_hidden_rows_and_cells_of_a_table_are_left_out_too() -> None:
    told = page("<table><tr><th>A<th>B<tr hidden><td>9<td>9<tr><td>1<td><b hidden>9</b>2</table>")
    assert told.text == "| A | B |\n|---|---|\n| 1 | 2 |"
    assert codes(told) == ["hidden_left_out"]


@pytest.mark.parametrize(
    ("sheet", "shown"),
    [
        (".x{display:none}", False),
        ("p.x, .y { color: red; display: none; }", False),
        ("@media print{.x{display:none}}", True),
        ("@media screen{.x{display:none}}", False),
        ("/* .x{display:none} */", True),
        (".x{display:none} .x{display:block}", True),
        (".x:hover{display:none}", True),
        ("}}{{ .x{", True),
    ],
)
def test_what_the_pages_own_style_sheet_hides_is_left_out(sheet: str, shown: bool) -> None:
    told = page(f"{SEEN}<p class=x>999</p>", f"<style>{sheet}</style>")
    assert ("999" in told.text) is shown
    assert codes(told) == ([] if shown else ["hidden_left_out"])


@pytest.mark.parametrize(
    ("inline", "expected"),
    [
        ("10<sup>6</sup> records", "10^6 records"),
        ("10<sup>\u22123</sup> m", "10^-3 m"),
        ("500<sup><a href='#fn1'>1</a></sup> requests", "500^1 requests"),
        ("12 m<sup>2</sup>, x<sup>n+1</sup>", "12 m^2, x^(n+1)"),
        ("the 3<sup>rd</sup> of CO<sub>2</sub>", "the 3rd of CO2"),
        ("<del>99</del> 40", "~~99~~ 40"),
        ("a<br>b", "a\nb"),
        (
            "so<wbr>me&shy;thing zero\u200bwidth non\u2011breaking",
            "something zerowidth non-breaking",
        ),
        ("<q>yes</q>", "“yes”"),
        ("<b>bold</b> <code>cap_drop</code> a*b*c", "bold cap_drop a*b*c"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>", "漢(kan)"),
        ("E = <math><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup></math>.", "E = $mc^2$."),
        ("<math alttext='\\frac{a}{b}'><mi>x</mi></math>", "$\\frac{a}{b}$"),
        (
            "<math><mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></mfrac></math>",
            "$(a+b)/2$",
        ),
        ("&lt;tag&gt; &amp; &euro;", "<tag> & €"),
    ],
)
def test_words_in_a_line_say_what_they_mean(inline: str, expected: str) -> None:
    assert page(f"<p>{inline}</p>").text == expected


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("<a href='https://f.example/a-4.2.msi'>here</a>", "[here](https://f.example/a-4.2.msi)"),
        ("<a href='mailto:p@x.example'>the pilots</a>", "[the pilots](mailto:p@x.example)"),
        ("<a href='mailto:p@x.example'>p@x.example</a>", "p@x.example"),
        ("<a href='docs/a b.pdf'>the form</a>", "[the form](docs/a%20b.pdf)"),
        ("<a href='tel:+495550142'>call us</a>", "[call us](tel:+495550142)"),
        ("<a href='https://x.example'>https://x.example</a>", "https://x.example"),
        ("<a href='#part'>below</a>", "below"),
        ("<a href='javascript:go()'>now</a>", "now"),
        ("<a name=x>anchor</a>", "anchor"),
        ("<a href='/p'><img src=x alt='Price list'></a>", "[![Price list]](/p)"),
        ("<img src='data:image/png;base64,AAAA' alt='15 bar at 40 t/h'>", "![15 bar at 40 t/h]"),
        ("<img src=x alt=''><img src=y>", ""),
    ],
)
def test_links_keep_their_targets_and_pictures_their_texts(link: str, expected: str) -> None:
    assert page(f"<p>Get {link} now.</p>").text == " ".join(f"Get {expected} now.".split())


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<ol><li>a<li>b</ol>", "1. a\n2. b"),
        ("<ol start=3><li>a<li value=7>b<li>c</ol>", "3. a\n7. b\n8. c"),
        ("<ol reversed start=2><li>a<li>b</ol>", "2. a\n1. b"),
        ("<ol type=a><li>x<li>y</ol>", "a. x\nb. y"),
        ("<ol type=I start=4><li>x</ol>", "IV. x"),
        ("<ul><li>a<ol><li>x<li>y</ol><li>b</ul>", "- a\n  1. x\n  2. y\n- b"),
        ("<ul><li><p>one</p><p>two</p></li></ul>", "- one\n\n  two"),
        ("<dl><dt>Draught<dd>7.85 m</dl>", "Draught\n7.85 m"),
        ("<h2>Part <i>two</i></h2><p>x", "## Part two\n\nx"),
        ("<blockquote>Said</blockquote>", "Said"),
        ("<figure><img alt='Curve'><figcaption>Fig. 1</figcaption></figure>", "![Curve]\n\nFig. 1"),
        ("<details><summary>More</summary>inside</details>", "More\ninside"),
        ("<select><option>a<option selected>b</select>", "b"),
        ("<input type=checkbox checked> yes <input type=radio> no", "[x] yes [ ] no"),
        ("<input value='MV Sandpiper'>", "MV Sandpiper"),
        ("<textarea>as written</textarea>", "as written"),
    ],
)  # fmt: skip
def test_blocks_are_written_as_they_are_read(markup: str, expected: str) -> None:
    assert page(markup).text == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("<tr><th>Day<th>Shift<th>Lead<tr><td rowspan=2>Monday<td>Early<td>Brandt<tr><td>Late<td>Okafor"
         "<tr><td>Tuesday<td>Early<td>Lindqvist",
         ["Day | Shift | Lead", "Monday | Early | Brandt", "Monday | Late | Okafor", "Tuesday | Early | Lindqvist"]),
        ("<tr><td>a<td>b<tr><td colspan=2>both", ["a | b", "both | both"]),
        ("<thead><tr><th rowspan=2>Name<th colspan=2>Price<tr><th>low<th>high</thead><tr><td>x<td>1<td>2",
         ["Name | Price low | Price high", "x | 1 | 2"]),
        ("<tr><th>Name<td>Ann<tr><th>Age<td>7", ["Name | Ann", "Age | 7"]),
        ("<tr><td>a|b<td>c<br>d", ["a\\|b | c d"]),
        ("<tr><td rowspan=99>a<td>b<tr><td>c", ["a | b", "a | c"]),
        ("<tr><td rowspan=x>a<td colspan=-1>b", ["a | b"]),
        ("<tr><td>1<td><p>x</p><ul><li>y</ul>", ["1 | x - y"]),
    ],
)  # fmt: skip
def test_tables_are_markdown_with_what_their_spans_cover(rows: str, expected: list[str]) -> None:
    lines = page(f"<table>{rows}</table>").text.split("\n")
    assert [
        line.removeprefix("| ").removesuffix(" |") for line in lines if "---" not in line
    ] == expected
    assert set(lines[1]) == set("|-")


def test_a_table_that_lays_the_page_out_is_none() -> None:
    told = page("<table><tr><td><h2>News</h2><p>Text.</p><td><p>Side.</p></table>").text
    assert told == "## News\n\nText.\n\nSide."
    assert page("<table role=presentation><tr><td>a<td>b</table>").text == "a b"
    nested = page("<table><tr><td><table><tr><th>A<th>B<tr><td>1<td>2</table><td>x</table>").text
    assert "| A | B |\n|---|---|\n| 1 | 2 |" in nested


HOURS = "<h1>Opening hours</h1><p>The chandlery opens at 07:45.</p>"


@pytest.mark.parametrize(
    "body",
    [
        f"<nav>Home Products</nav>{HOURS}",
        f"<header><ul><li><a href=/>Home</a></ul></header><main>{HOURS}</main><footer>Imprint</footer>",
        f"<div role=navigation>Sign in | Basket (0)</div>{HOURS}<div role=contentinfo>Imprint</div>",
        f"<div class='cookie-banner'>We use cookies.</div>{HOURS}<footer>Privacy</footer>",
        f"<div id=sidebar>Related: ten tips</div><article>{HOURS}</article><aside>More</aside>",
        f"<div class='top menu'><a href=/a>Home</a> <a href=/b>Careers</a></div>{HOURS}",
        f"<a class=skip-link href=#c>Skip to content</a><div role=main>{HOURS}</div>",
        f"<header><nav>Menu</nav></header>{HOURS}<div class=breadcrumb>Home > Shop</div>",
        f"<ul class=pagination><li><a href=2>2</a></ul>{HOURS}<div class='social share'>Share this</div>",
        f"<body><main><nav>Menu</nav>{HOURS}<div id=cookie-consent>Accept all</div></main>",
    ],
)
def test_menus_banners_and_footers_are_left_out(body: str) -> None:
    assert page(body).text == "# Opening hours\n\nThe chandlery opens at 07:45."


@pytest.mark.parametrize(
    "body",
    [
        f"<header>{HOURS}</header>",
        f"<main><header>{HOURS}</header></main>",
        f"<article><footer></footer>{HOURS}</article>",
        f"<div class='menu-card'>{HOURS}</div>",
        f"<section id=share-prices>{HOURS}</section>",
        f"<main></main><div>{HOURS}</div>",
        f"<main hidden>old</main>{HOURS}",
    ],
)
def test_content_that_only_stands_like_a_banner_is_kept(body: str) -> None:
    assert page(body).text == "# Opening hours\n\nThe chandlery opens at 07:45."


def test_the_notes_of_an_article_are_content() -> None:
    told = page(
        "<main><h1>Pump</h1><aside>Mind the gap.</aside><p>Text.</p><footer>Since May.</footer></main>"
    )
    assert told.text == "# Pump\n\nMind the gap.\n\nText.\n\nSince May."


def test_title_language_and_author_are_known() -> None:
    told = read(
        b"<html lang=de><title>Untitled Document</title><meta name=author content='P. Raman'><h1>Kran</h1><p>x",
        "a.html",
    )
    assert told.title == "Kran"
    assert told.metadata == {"language": "de", "author": "P. Raman"}


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        ("мир".encode("koi8_r"), "text/html; charset=koi8-r"),
        (b'<meta charset="windows-1251">' + "мир".encode("cp1251"), None),
        (b'<meta http-equiv=Content-Type content="text/html; charset=windows-1251">' + "мир".encode("cp1251"), None),
        (b'<?xml version="1.0" encoding="koi8-r"?>' + "<p>мир".encode("koi8_r"), None),
        ("\ufeff<p>мир".encode("utf-16"), "text/html; charset=koi8-r"),
        ("<p>мир".encode(), "text/html; charset=iso-8859-1"),
    ],
)  # fmt: skip
def test_a_page_is_decoded_by_its_mark_utf_8_what_its_sender_says_or_itself(
    data: bytes, media_type: str | None
) -> None:
    assert read(data, "a.html", media_type).text == "мир"


def test_a_page_nested_too_deep_is_refused_at_once_and_a_deep_one_read() -> None:
    for opening in ("<div>", "<table><tr><td>", "<ul><li>", "<b>", "<a href=x><i>"):
        assert "deep" in read(b"<p>deep" + opening.encode() * 3_000 + b"deep", "a.html").text


def test_links_lead_from_where_the_page_says() -> None:
    page = (
        "<base href='https://h.example/docs/'><p><a href='tide.pdf'>tides</a> <a href='#top'>top</a>"
        " <a href='https://a.example/x'>other</a> <a href='https://[x'>broken</a>"
    )
    text = read(page.encode(), "a.html").text
    assert text.startswith(
        "[tides](https://h.example/docs/tide.pdf) top [other](https://a.example/x)"
    )


def test_the_words_of_a_drawing_are_read() -> None:
    page = b"<p>See <svg><title>t</title><text x=1>12 kn</text><text>15 bar</text></svg> there"
    assert read(page, "a.html").text == "See 12 kn 15 bar there"
