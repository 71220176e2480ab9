"""No address leaves in an answer, however its words are cut."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.agent.links import _LINK, _UNDECIDED, LinkFilter, is_plain, plain_cut

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
        "ht&Tab;tps:evil.test/x",
        "<div style='background:url(https&#58;&#47;&#47;evil.test)'>",
        "<div/style='background:url(https:evil.test)'>",
        "<b onmouseover=open('//evil.test')>",
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


@pytest.mark.parametrize("opening", ["[x](", "](", "](" + " " * 40_000, "<b " + "=" * 40_000])
def test_a_link_that_never_ends_costs_little(opening: str) -> None:
    """With the square of its length this would take many seconds, and hold up all answers."""
    began = time.process_time()
    shown(opening + "a" * 40_000, 100_000)
    assert time.process_time() - began < 2


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
        "if a <b then c = d",
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_other_words_stay_as_they_are(text: str, size: int) -> None:
    assert shown(text, size) == text


def test_words_without_anything_like_a_link_are_not_held() -> None:
    assert LinkFilter(set()).feed("The retriever listens") == "The retriever listens"


@given(st.lists(st.sampled_from(
    ["http", ":", "//", "evil.test", "[", "]", "(", ")", "!", "<img ", ">", " ", "a", "\\", "www.",
     "\n"]
), max_size=14))  # fmt: skip
def test_no_address_survives_any_mix(parts: list[str]) -> None:
    text = "".join(parts)
    for size in (1, 4, 100):
        out = shown(text, size)
        assert "//evil.test" not in out and "\\\\evil.test" not in out
        assert "](evil.test" not in out


@given(st.text(st.sampled_from(" \n.,'-_0aehjmpstvwxHW()>=?#;"), max_size=12))
def test_plain_words_are_held_as_the_patterns_would_hold_them(text: str) -> None:
    undecided = _UNDECIDED.search(text)
    assert undecided is not None
    if is_plain(text):
        assert plain_cut(text) == undecided.start()
        assert not _LINK.search(text)


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_plain_text_holds_no_link(text: str) -> None:
    assert not (is_plain(text) and _LINK.search(text))
