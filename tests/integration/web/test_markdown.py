"""Answers as Markdown in the browser: laid out, cited everywhere, never markup or a way out."""

from typing import Any

import pytest
from browser import OpenWindow, Window
from playwright.sync_api import expect
from rig import Api
from scripted_llm import ScriptedLLM

QUESTION = "Which port does the retriever listen on?"
FACT = "The retriever listens on port 8080."
CLAIM = "It was built by **Napoleon** in `1812`."

ANSWER = f"""## Ports

1. {FACT}
2. Then:
   - **The embedding service listens on port 8081.**

| Part | Port |
|:--|--:|
| The retriever listens on | port 8080 |

```sh
The retriever listens on port 8080.
```

{CLAIM}
"""

SHOW = """async ([text, addresses]) => {
    const { Markdown } = await import("/web/markdown.js");
    const made = new Markdown();
    made.show(text, true);
    made.link(new Set(addresses));
    const all = [...made.element.querySelectorAll("*")];
    return {
        text: made.element.textContent,
        tags: [...new Set(all.map((one) => one.localName))].sort(),
        links: all.filter((one) => one.href !== undefined).map((one) => one.href),
        fetched: all.filter((one) => one.src || one.style.length || one.onclick).length,
    };
}"""

GROW = r"""async (text) => {
    const { Markdown } = await import("/web/markdown.js");
    const [grown, whole] = [new Markdown(), new Markdown()];
    whole.show(text, true);
    const faults = [];
    let first = null;
    for (let end = 1; end <= text.length; end += 1) {
        grown.show(text.slice(0, end));
        const shown = grown.element.textContent;
        if (/[*`|#]|\[|-{2}/.test(shown)) faults.push(shown.slice(-30));
        if (grown.element.childElementCount > 1) first ??= grown.element.firstChild;
        if (first && first !== grown.element.firstChild) faults.push("the first block anew");
    }
    grown.show(text, true);
    return { faults, same: grown.element.outerHTML === whole.element.outerHTML };
}"""

BLOW = r"""async (text) => {
    const { Markdown } = await import("/web/markdown.js");
    const made = new Markdown();
    made.show(text.slice(0, text.length / 2));
    made.show(text, true);
    document.querySelector("#conversation").replaceChildren(made.element);
    let deepest = 0;
    for (const leaf of made.element.querySelectorAll(":not(:has(*))")) {
        let depth = 0;
        for (let one = leaf; one !== made.element; one = one.parentElement) depth += 1;
        deepest = Math.max(deepest, depth);
    }
    return { letters: made.element.textContent.match(/[a-z1]/g)?.length ?? 0, deepest };
}"""

SOURCE = "https://docs.example/ports"
NEVER_A_LINK = (
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\\nscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:x)",
    "[x](//evil.example)",
    "[x](/v1/keys)",
    "[x](#key=bh_x)",
    "[x](https://evil.example/?q=secret)",
    "[x](https://docs.example/ports?q=secret)",
    "[x](<https://docs.example/ports#a>)",
    "![x](https://evil.example/x.png)",
    f"![x]({SOURCE})",
    f"[![x]({SOURCE})](https://evil.example)",
    "<https://evil.example>",
    "<javascript:alert(1)>",
    "https://evil.example www.evil.example someone@evil.example",
    "[x][1]\\n\\n[1]: https://evil.example",
    "<a href=https://evil.example>x</a>",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<iframe src=https://evil.example></iframe>\\n\\n<style>*{display:none}</style>",
    "<svg onload=alert(1)><math><mi//xlink:href='data:x'>",
    "<!-- a --> <?php x ?> <![CDATA[x]]> <!DOCTYPE html>",
    "<details open ontoggle=alert(1)>\\n\\n**x**\\n\\n</details>",
    "`<b>` **<b>x</b>**",
    "```<img src=x>\\n<b>x</b>\\n```",
    "| <b>a</b> |\\n|-|\\n| <img src=x onerror=alert(1)> |",
    "- [x] <input autofocus onfocus=alert(1)>",
)
MADE = {"blockquote", "br", "button", "code", "del", "div", "em", "h3", "h4", "h5", "h6", "hr"} | {
    *("input", "li", "ol", "p", "pre", "span", "strong", "table", "tbody", "td", "th", "thead"),
    *("tr", "ul"),
}
"""Every element that an answer can be made of, but for links to sources."""


@pytest.fixture
def bare(api: Api, new_window: OpenWindow) -> Window:
    """The page's modules, with nothing asked."""
    return new_window().open()


def test_an_answer_is_laid_out_and_every_mark_in_it_opens_its_source(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(ANSWER)
    answer = window.open().ask(QUESTION)
    said = answer.locator(".said")
    expect(said.get_by_role("heading", name="Ports")).to_be_visible()
    expect(said.locator("ol > li > ul > li strong")).to_contain_text("port 8081")
    expect(said.locator("thead th")).to_contain_text(["Part", "Port"])
    expect(said.locator("tbody td").last).to_have_css("text-align", "right")
    expect(said.locator("pre code")).to_contain_text(FACT)
    expect(said.locator("pre")).not_to_contain_text("Napoleon")
    expect(said.locator("p .unsupported")).to_have_text(
        ["It was built by ", "Napoleon", " in ", "1812 (no source bears this out)"]
    )
    expect(said.locator("td .unsupported")).to_have_count(0)  # the code has the same words
    expect(said).not_to_contain_text("**")
    marks = said.locator(".cite")
    for place in ("ol > li .cite", "ul .cite", "td .cite"):
        expect(said.locator(place).first).to_be_enabled()
    expect(said.locator(".cite:disabled")).to_have_count(0)
    for n in range(marks.count()):
        marks.nth(n).click()
        expect(window.page.locator("#reader mark")).to_contain_text("listens on port")
        window.page.keyboard.press("Escape")


def test_while_it_streams_a_block_that_is_done_stays_and_no_half_sign_shows(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    seen = window.open().page.evaluate(
        GROW,
        ANSWER.replace("The retriever listens on | port 8080 |", "x | y | [1]"),
    )
    assert seen == {"faults": [], "same": True}


def test_no_answer_becomes_markup_or_a_link_to_anything_but_a_source(bare: Window) -> None:
    for text in NEVER_A_LINK:
        made = bare.page.evaluate(
            SHOW, [text.replace("\\n", "\n"), [SOURCE, "javascript:alert(1)"]]
        )
        assert made["links"] == [], text
        assert made["fetched"] == 0, text
        assert set(made["tags"]) <= MADE, text
    linked = bare.page.evaluate(SHOW, [f"[ports]({SOURCE}), {SOURCE}, <{SOURCE}>", [SOURCE]])
    assert linked["links"] == [SOURCE] * 3


def test_tags_are_shown_as_they_were_written(bare: Window) -> None:
    for text in ("<b>bold</b> & <i x=1>", "<div>\ntext\n</div>", "<!-- note -->", "a < b > c"):
        shown = bare.page.evaluate(SHOW, [text, []])["text"]
        assert shown.replace("\n", "") == text.replace("\n", "")


def bombs(n: int) -> dict[str, str]:
    signs = ("*a ", "**a ", "***a ", "_a ", "a* ", "*a **b ", "~a ", "[", "[a](", "![", "<", "<a ")
    more = ("`a ", "> ", "- ", "1. ", "|a", "&", "\\", "http://a", "a@", "www.", "[a][b]", "<!--")
    made = {sign: sign * (n // len(sign)) for sign in signs + more}
    made["nested"] = "*" * (n // 2) + "a" + "*" * (n // 2)
    made["both"] = "*_" * (n // 4) + "a" + "_*" * (n // 4)
    made["rows"] = "|a|\n|-|\n" + "|b|\n" * (n // 4)
    made["cells"] = "|a" * (n // 6) + "\n" + "|-" * (n // 6) + "\n" + "|b" * (n // 6)
    made["quotes"] = ("> " * 12 + "a\n") * (n // 26)
    made["ticks"] = " ".join("`" * (i % 99 + 1) + "a" for i in range(n // 52))
    made["deep"] = "\n".join(" " * (2 * i) + "- a" for i in range(100))
    made["closed"] = "**b " * (n // 4) + "**"
    made["spaces"] = "a" + " " * 40 + "b" + "\t" * n  # the server leaves 40 of them
    made["lines"] = "\n" * n + "a\n" * (n // 2) + "="
    made["marks"] = "[1]" * (n // 3) + "| [1]" * (n // 5) + "```" + " [1]" * (n // 4)
    return made


def test_no_answer_keeps_the_page_busy_for_more_than_its_length(bare: Window) -> None:
    """Of 20,000 characters: what took the cube of its length would not come back."""
    letters: dict[str, Any] = {}
    for name, text in bombs(20_000).items():
        letters[name] = bare.page.evaluate(
            BLOW,
            text,
        )
        assert letters[name]["deepest"] < 50, name
    assert letters["nested"]["letters"] == 1
    assert letters["*a "]["letters"] == 20_000 // 3
