"""The page speaks the languages of its files, and looks as a fork's folder says."""

import json
import re
from collections.abc import Iterator

import httpx2
import pytest
from browser import OpenWindow, Window, serious
from house import House, standing
from playwright.sync_api import Browser, expect
from rig import KEY, Api
from scripted_llm import ScriptedLLM

from retriever.branding.branding import PACKAGED

QUESTION = "Which port does the retriever listen on?"
FACT = "The retriever listens on port 8080."
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle r="9" fill="red"/></svg>'
PAGE = """
title = "Hafen <1>"
logo = "hafen.svg"
languages = ["xx", "en"]
examples = ["Which pier is free?"]
[colours.light]
accent = "#5b2a86"
"""


def test_the_page_comes_in_the_browsers_language(
    filled: Api, llm: ScriptedLLM, new_window: OpenWindow
) -> None:
    llm.say(f"{FACT} It was built by Napoleon in 1812.")
    page = new_window(locale="de-AT", viewport={"width": 1280, "height": 800})
    page.page.goto(f"{page.url}/#key={KEY}")
    expect(page.page.locator("html")).to_have_attribute("lang", "de")
    expect(page.page.locator(".lead")).to_have_text("Fragen Sie die Dokumente")
    expect(page.page.locator("#state")).to_contain_text("Bereit")
    answer = page.ask(QUESTION)
    expect(answer.locator(".notice")).to_contain_text("Den unterstrichenen Satz belegt keine")
    answer.get_by_text("Was geschah").click()
    expect(answer.locator(".stages")).to_contain_text("Frage einbetten")
    expect(answer.locator(".scores td").nth(1)).to_have_text(re.compile(r"^\d,\d{3}$"))
    assert serious(page.page) == []


def test_a_language_that_is_chosen_stays_chosen_and_nothing_is_lost_for_it(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    page = window.open().page
    window.ask(QUESTION)
    page.get_by_label("Language").select_option("Deutsch")
    expect(page.locator("nav")).to_contain_text("Dokumente")
    expect(page.locator(".asked")).to_contain_text(QUESTION)
    assert page.evaluate("sessionStorage['bulkhead-key']") == KEY
    page.goto(f"{window.url}/#key={KEY}")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    assert KEY not in page.url
    page.get_by_label("Sprache").select_option("English")
    expect(page.locator("nav")).to_contain_text("Documents")


def test_each_language_has_its_own_etag_and_says_what_it_depends_on(api: Api) -> None:
    with httpx2.Client(base_url=api.base_url, timeout=60) as anyone:
        german = anyone.get("/", headers={"Accept-Language": "de"})
        english = anyone.get("/", headers={"Accept-Language": "fr"})
        assert [one.headers["content-language"] for one in (german, english)] == ["de", "en"]
        assert "Accept-Language" in german.headers["vary"]
        etag = german.headers["etag"]
        for language, status in (("de", 304), ("en", 200)):
            told = {"Accept-Language": language, "If-None-Match": etag}
            assert anyone.get("/", headers=told).status_code == status
        assert anyone.get("/?language=de").headers["content-language"] == "de"
        assert anyone.get("/?language=../x").headers["content-language"] == "en"
        assert anyone.head("/").status_code == 200


@pytest.fixture(scope="module")
def harbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A retriever with looks of its own, and a language whose texts are their keys in brackets."""
    own = tmp_path_factory.mktemp("own")
    (own / "languages").mkdir()
    (own / "page.toml").write_text(PAGE)
    (own / "hafen.svg").write_text(SVG)

    def marked(text: str) -> str:
        if set(text) & set("[`"):  # what stays markup stays it
            return re.sub(r"(\[|`|\(#?\w+\)|\{\w+\}|\]|[^[\]`{}()]+)", _bracketed, text)
        return re.sub(r"(\{\w+\}|[^{}]+)", _bracketed, text)

    words = json.loads((PACKAGED / "languages/en.json").read_text())
    strange = {
        key: {form: marked(one) for form, one in text.items()}
        if isinstance(text, dict)
        else marked(text)
        for key, text in words.items()
    }
    (own / "languages/xx.json").write_text(json.dumps(strange))
    with standing(tmp_path_factory.mktemp("harbour"), branding_dir=own) as house:
        yield house


def _bracketed(piece: re.Match[str]) -> str:
    text = piece[0]
    return text if text[0] in "[]`{(" or not text.strip() else f"⟦{text}⟧"


@pytest.fixture
def branded(harbour: House, browser: Browser) -> Iterator[Window]:
    harbour.clear()
    harbour.llm = ScriptedLLM()
    window = Window(browser.new_page(), str(harbour.api.base_url).rstrip("/"))
    yield window
    window.page.close()
    assert window.faults == []


_SEEN = """() => {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const { parentElement: at, data } = walker.currentNode;
        if (at.closest("script, noscript, .brand, .said, .asked, code, kbd, #language")) continue;
        found.push(data);
    }
    for (const one of document.querySelectorAll("body *")) {
        if (one.closest("#language")) continue;
        for (const name of ["aria-label", "placeholder", "title", "alt"]) {
            if (one.hasAttribute(name)) found.push(one.getAttribute(name));
        }
        if (one.ariaLabel && !one.hasAttribute("aria-label")) found.push(one.ariaLabel);
    }
    return found;
}"""


def foreign(window: Window, known: str) -> list[str]:
    """Words on the page that neither its language's file has nor `known`, a pattern, allows."""
    seen = [re.sub(r"⟦.*?⟧", "", text) for text in window.page.evaluate(_SEEN)]
    return sorted({one for one in seen if re.search(r"[A-Za-z]{2}", re.sub(known, "", one))})


def test_a_page_in_a_strange_language_has_no_word_of_another(
    harbour: House, branded: Window
) -> None:
    known = (
        r"Pier Seven is free\.|It was built by Napoleon in 1812\."
        r"|Hafen <1>|Which pier is free\?|retriever\.md|broken\.pdf|Pier Seven|pier\.md|hybrid|stop"
        r"|scripted|lexical-v2|[0-9a-f]{32}|chatcmpl-\w+|\bMiB\b|\bKiB\b|\bms\b|default|Ports|ports\.md|\bAPI\b"
    )
    harbour.llm.say("Pier Seven is free. It was built by Napoleon in 1812.")
    harbour.api.ingest({"text": "Pier Seven is free.", "title": "Pier Seven", "source": "pier.md"})
    branded.page.goto(f"{branded.url}/?language=xx#key={KEY}")
    assert foreign(branded, known) == []
    answer = branded.ask("Which pier is free?")
    answer.get_by_text("What happened").click()
    assert foreign(branded, known) == []
    branded.page.goto(f"{branded.url}/?language=xx#documents")
    branded.upload(("broken.pdf", b"%PDF-1.7"))
    expect(branded.page.locator("#uploads li")).to_have_attribute("data-state", "failed")
    # Why the file cannot be read is the API's own to say, in English.
    for place in ("#uploads li .muted", "#announcer"):
        branded.page.locator(place).evaluate("(one) => { one.textContent = ''; }")
    branded.page.goto(f"{branded.url}/?language=xx#admin")
    branded.page.locator("#new-key .primary").click()
    branded.page.locator("#made-key code").wait_for()
    branded.page.locator("#all-jobs li").first.wait_for()
    assert foreign(branded, known + r"|key_\w+|reader|default|\d\d [AP]M$") == []


def test_the_page_looks_as_the_folder_says(harbour: House, branded: Window) -> None:
    page = branded.page
    page.goto(f"{branded.url}/#key={KEY}")
    expect(page).to_have_title("Hafen <1>")
    expect(page.locator(".brand")).to_contain_text("Hafen <1>")
    assert page.locator(".brand img").evaluate("(one) => one.naturalWidth") > 0
    expect(page.locator("#examples button")).to_have_text(["Which pier is free?"])
    expect(page.locator("#send")).to_have_css("background-color", "rgb(91, 42, 134)")
    with httpx2.Client(base_url=harbour.api.base_url, timeout=60) as anyone:
        logo = anyone.get("/web/logo.svg")
        assert (logo.text, logo.headers["content-type"]) == (SVG, "image/svg+xml")
        policy = logo.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "sandbox" in policy
