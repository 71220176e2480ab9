"""The page itself: hostile words stay words, no mouse is needed, it fits, it is quick and small."""

import hashlib
import re
from pathlib import Path

import httpx2
import pytest
from browser import OpenWindow, Window, serious
from playwright.sync_api import Route, expect
from rig import KEY, PORTS, Api
from scripted_llm import ScriptedLLM

from retriever.api.web import FOLDER
from retriever.branding.branding import packaged

QUESTION = "Which port does the retriever listen on?"
FACT = "The retriever listens on port 8080."
MOST_SENT, MOST_BYTES = 66_000, 175_000
"""Of all its files in one language, as a browser gets them and unpacked."""
PARSER = "5371fea86fd0656b4fc7bea7c94c663109d82789b69433eeee78d42895aa44de"
"""SHA-256 of `lib/marked.esm.js` in the package marked 18.2.1."""

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>"


def test_markup_in_answer_document_title_and_file_name_stays_text(
    api: Api, llm: ScriptedLLM, window: Window
) -> None:
    text = f"{PORTS}{HOSTILE} The hostile harbour has port 6666. {HOSTILE}"
    api.ingest({"text": text, "title": HOSTILE, "source": HOSTILE})
    llm.say(f"The hostile harbour has port 6666. {HOSTILE} javascript:alert(3)")
    answer = window.open().ask("Which port does the hostile harbour have?")
    # The server takes tags that load something out of an answer; what is left shows as text.
    expect(answer.locator(".said")).to_contain_text("alert(2)")
    expect(answer.locator(".said")).to_contain_text("<b>bold</b>")
    answer.get_by_text("What happened").click()
    answer.locator(".cite").first.click()
    expect(window.page.locator("#reader-title")).to_have_text(HOSTILE)
    expect(window.page.locator("#reader-text")).to_contain_text(HOSTILE)
    window.page.keyboard.press("Escape")
    window.page.get_by_role("link", name="Documents", exact=True).click()
    window.upload((f"{HOSTILE.replace('/', '')}.md", b"# <u>x</u>"))
    expect(window.page.locator("#uploads li")).to_have_attribute("data-state", "done")
    window.page.get_by_role("button", name=re.compile("^Delete <img")).first.click()
    expect(window.page.locator("#confirm")).to_contain_text("<img")
    made = "main img, main script, main b, #reader img, #confirm img"
    assert window.page.locator(made).count() == 0


def test_the_policy_allows_nothing_from_elsewhere_and_no_markup_from_strings(
    api: Api, window: Window
) -> None:
    window.open()
    with pytest.raises(Exception, match="TrustedHTML"):
        window.page.evaluate("document.body.innerHTML = '<b>x</b>'")
    assert not window.page.evaluate("fetch('http://127.0.0.1:1/').then(() => true, () => false)")
    assert any("connect-src" in fault for fault in window.faults)
    window.faults.clear()


def test_the_api_page_needs_nothing_from_elsewhere(api: Api, window: Window) -> None:
    asked: list[str] = []
    window.page.on("request", lambda request: asked.append(request.url))
    window.page.goto(f"{window.url}/docs")
    call = window.page.locator(".opblock", has_text="/v1/search")
    call.locator("button").first.click()
    call.get_by_role("button", name="Try it out").click()
    call.get_by_role("button", name="Execute").click()
    expect(call.locator(".live-responses-table")).to_contain_text("401")
    assert [url for url in asked if not url.startswith(window.url)] == []


def test_the_files_come_with_their_types_an_etag_and_the_headers(api: Api) -> None:
    with httpx2.Client(base_url=api.base_url, timeout=60) as anyone:
        for path, kind in (
            ("/", "text/html"),
            ("/web/main.js", "text/javascript"),
            ("/web/style.css", "text/css"),
            ("/web/logo.svg", "image/svg+xml"),
        ):
            reply = anyone.get(path)
            assert reply.status_code == 200
            assert reply.headers["content-type"].startswith(kind)
            assert "default-src 'none'" in reply.headers["content-security-policy"]
            assert "unsafe" not in reply.headers["content-security-policy"]
            assert reply.headers["x-content-type-options"] == "nosniff"
            again = anyone.get(path, headers={"If-None-Match": reply.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        missing = anyone.get("/web/../settings.py")
        assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found")
        assert anyone.post("/").status_code == 405


def test_the_whole_page_is_small_in_every_language(api: Api) -> None:
    files = [path for path in FOLDER.rglob("*") if path.suffix in (".js", ".css")]
    paths = [f"/web/{path.relative_to(FOLDER)}" for path in files]
    paths += ["/web/colours.css", "/web/logo.svg"]
    zipped = {"Accept-Encoding": "gzip"}
    with httpx2.Client(base_url=api.base_url, headers=zipped, timeout=60) as anyone:

        def weighed(path: str) -> tuple[int, int]:
            with anyone.stream("GET", path) as reply:
                sent = sum(map(len, reply.iter_raw()))
            return sent, len(anyone.get(path).content)

        rest = [weighed(path) for path in paths]
        for language in packaged().languages:
            all_of_it = [weighed(f"/?language={language}"), *rest]
            sent, unpacked = (sum(sizes) for sizes in zip(*all_of_it, strict=True))
            assert sent < MOST_SENT
            assert unpacked < MOST_BYTES


def test_the_parser_of_markdown_is_the_released_one_and_its_licence_is_beside_it() -> None:
    parser = FOLDER / "vendor/marked.js"
    assert hashlib.sha256(parser.read_bytes()).hexdigest() == PARSER
    assert b"marked v18.2.1" in parser.read_bytes()[:100]
    licence = (FOLDER / "vendor/marked.LICENSE.md").read_text()
    notice = (Path(__file__).parents[3] / "NOTICE").read_text()
    for holder in ("Copyright (c) 2018+, MarkedJS", "Copyright © 2004, John Gruber"):
        assert holder in licence
        assert holder in notice
    assert "marked 18.2.1" in notice


def test_every_module_is_named_for_an_early_load(api: Api, window: Window) -> None:
    named = re.findall(r"<(web/[\w/]+\.js)>; rel=modulepreload", api.get("/").headers["link"])
    assert set(named) == {f"web/{path.relative_to(FOLDER)}" for path in FOLDER.rglob("*.js")}
    loaded = window.open().page.evaluate(
        "performance.getEntriesByType('resource').map((one) => new URL(one.name).pathname)"
    )
    assert {f"/{name}" for name in named} <= set(loaded)


def test_the_key_leaves_the_address_at_once_and_stays_in_the_tab(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    window.open()
    assert KEY not in window.page.url
    window.page.reload()
    window.ask(QUESTION)  # as soon as the field takes it
    assert window.page.evaluate("sessionStorage['bulkhead-key']") == KEY
    assert KEY not in window.page.evaluate("JSON.stringify(localStorage)")
    assert window.page.evaluate("document.cookie") == ""


def test_a_question_waits_neither_for_the_settings_nor_for_the_state(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    held: list[Route] = []
    for path in ("**/web/config.json", "**/readyz"):
        window.page.route(path, lambda route: held.append(route))
    window.page.goto(f"{window.url}/#key={KEY}")
    expect(window.ask(QUESTION).locator(".said")).to_contain_text(FACT)
    assert len(held) == 2
    for route in held:
        route.continue_()


def test_until_the_page_listens_its_field_takes_no_question(window: Window) -> None:
    held: list[Route] = []
    window.page.route("**/web/chat.js", lambda route: held.append(route))
    window.page.goto(f"{window.url}/#key={KEY}", wait_until="commit")
    expect(window.page.locator("#question")).to_be_disabled()
    held[0].continue_()
    expect(window.page.locator("#question")).to_be_focused()


def test_a_link_with_another_key_takes_the_place_of_the_one_at_hand_only_when_told_so(
    filled: Api, window: Window
) -> None:
    page = window.open().page
    held = "sessionStorage['bulkhead-key']"
    dialog = page.get_by_role("dialog")
    page.goto(f"{window.url}/#key={KEY}")  # the same key is no question
    expect(dialog).to_be_hidden()
    for load in (False, True):  # while the page is open, and as it loads
        for answer, key in (
            ("Keep mine", KEY),
            ("Escape", KEY),
            ("Use the link's key", "bh_of-the-link"),
        ):
            page.evaluate(f"sessionStorage.setItem('bulkhead-key', '{KEY}')")
            if load:
                page.goto("about:blank")
                page.goto(f"{window.url}/#key=bh_of-the-link")
            else:
                page.evaluate("location.hash = 'key=bh_of-the-link'")
            expect(dialog).to_contain_text("another API key")
            assert "bh_of-the-link" not in page.url
            assert page.evaluate(held) == KEY
            if answer == "Escape":
                page.keyboard.press(answer)
            else:
                dialog.get_by_role("button", name=answer).click()
            if key == KEY:
                expect(dialog).to_be_hidden()
            else:  # the server does not know it, and the page says so
                page.wait_for_function(f"{held} === '{key}'")
                expect(dialog).to_contain_text("does not know this key")
                page.keyboard.press("Escape")
            assert page.evaluate(held) == key


@pytest.mark.parametrize(("key", "words"), [("", ""), ("bh_wrong", "does not know this key")])
def test_without_a_good_key_the_page_asks_for_one(
    filled: Api, llm: ScriptedLLM, window: Window, key: str, words: str
) -> None:
    llm.say(FACT)
    window.open(key)
    dialog = window.page.get_by_role("dialog")
    expect(dialog).to_contain_text("The API key")
    expect(dialog).to_contain_text(words)
    dialog.get_by_label("Key", exact=True).fill(KEY)
    window.page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    window.ask(QUESTION)


def test_an_empty_stack_greets_with_three_questions(api: Api, window: Window) -> None:
    greeting = window.open().page.locator("#greeting")
    expect(greeting).to_contain_text("no documents yet")
    expect(greeting.locator("#examples button")).to_have_count(3)
    greeting.locator("#examples button").first.click()
    expect(window.page.locator(".asked")).to_contain_text("release 2026.8")
    expect(window.page.locator(".answer.abstained")).to_be_visible()


def test_everything_can_be_done_by_keyboard(filled: Api, llm: ScriptedLLM, window: Window) -> None:
    llm.say(FACT)
    press = window.open().page.keyboard.press
    focused = window.page.locator(":focus")
    expect(window.page.locator("#question")).to_be_focused()
    window.page.keyboard.type(QUESTION)
    press("Enter")
    window.page.locator(".happened").wait_for()

    def tab_to(css: str, backwards: bool = False) -> None:
        for _ in range(40):
            press("Shift+Tab" if backwards else "Tab")
            if focused.count() and focused.evaluate("(one, css) => one.matches(css)", css):
                return
        raise AssertionError(f"no Tab leads to {css}")

    tab_to(".cite", backwards=True)
    press("Enter")
    expect(window.page.locator("#reader mark")).to_be_visible()
    tab_to("#reader-text")
    press("Escape")
    expect(window.page.locator(".cite")).to_be_focused()
    tab_to(".happened summary")
    press("Enter")
    expect(window.page.locator(".stages")).to_be_visible()
    tab_to("nav a[href='#documents']", backwards=True)
    press("Enter")
    expect(window.page.locator("#documents-view")).to_be_visible()
    press("/")
    expect(window.page.get_by_role("searchbox")).to_be_focused()
    tab_to("#list [aria-label^=Delete]")
    press("Enter")
    tab_to(".danger")
    press("Enter")
    expect(window.page.locator("#list li")).to_have_count(1)


def test_a_slash_leads_to_the_field_and_the_next_one_is_typed(api: Api, window: Window) -> None:
    page = window.open().page
    question, press = page.locator("#question"), page.keyboard.press
    expect(question).to_be_focused()
    press("/")
    expect(question).to_have_value("")
    press("/")
    page.keyboard.type("etc/hosts?")
    expect(question).to_have_value("/etc/hosts?")
    question.fill("")
    page.locator("#options summary").focus()
    press("/")
    expect(question).to_be_focused()
    expect(question).to_have_value("")
    page.keyboard.type("a/b")
    expect(question).to_have_value("a/b")
    page.get_by_role("link", name="Documents", exact=True).click()
    expect(page.get_by_role("searchbox")).to_be_visible()  # a view follows its link a moment later
    press("/")
    page.keyboard.type("/srv")
    expect(page.get_by_role("searchbox")).to_have_value("/srv")
    page.get_by_label("Groups that may see them").fill("")
    page.get_by_label("Groups that may see them").press("/")
    expect(page.get_by_label("Groups that may see them")).to_have_value("/")


def test_nothing_is_wider_than_a_phone(
    filled: Api, llm: ScriptedLLM, new_window: OpenWindow
) -> None:
    llm.say(f"{FACT} {'long' * 60} Nothing says so.")
    window = new_window(viewport={"width": 360, "height": 740}, has_touch=True).open()
    page = window.page

    def fits() -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    assert fits()
    answer = window.ask(QUESTION)
    answer.get_by_text("What happened").click()
    assert fits()
    expect(page.locator("#send")).to_be_in_viewport()
    answer.locator(".cite").tap()
    expect(page.locator("#reader mark")).to_be_in_viewport()
    assert fits()
    page.get_by_role("button", name="Close").tap()
    page.get_by_role("link", name="Documents", exact=True).tap()
    expect(page.locator("#list li")).to_have_count(2)
    assert fits()
    page.get_by_role("link", name="Admin", exact=True).tap()
    page.get_by_role("button", name="Make a key").tap()
    expect(page.locator("#made-key code")).to_be_visible()
    assert fits()
    page.get_by_role("link", name="Ask", exact=True).tap()
    page.locator("#past").tap()
    expect(page.locator("#kept li")).to_have_count(1)
    assert fits()
    expect(page.locator("#kept")).to_be_in_viewport(ratio=1)


def test_a_long_conversation_is_laid_out_only_where_it_is_in_sight(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    window.open().ask(QUESTION)
    messages = [{"role": "user", "content": QUESTION}]
    reply = filled.post("/v1/chat/completions", json={"messages": messages, "stream": True})
    laid_out = window.page.evaluate(
        """async ([question, body]) => {
            const real = window.fetch;
            window.fetch = (path, ...rest) => path.includes("chat")
                ? Promise.resolve(new Response(body)) : real(path, ...rest);
            const done = document.getElementsByClassName("happened");
            const frame = () => new Promise(requestAnimationFrame);
            while (done.length < 100) {
                const next = done.length + 1;
                document.querySelector("#question").value = question;
                document.querySelector("#composer").requestSubmit();
                while (done.length < next) await new Promise((wake) => setTimeout(wake));
            }
            for (let n = 0; n < 3; n += 1) await frame();
            const all = [...document.querySelectorAll("article")];
            return all.filter((one) => one.checkVisibility({ contentVisibilityAuto: true })).length;
        }""",
        [QUESTION, reply.text],
    )
    expect(window.page.locator("article")).to_have_count(200)
    assert 0 < laid_out <= 60  # three bundles: the one in sight, and one on each side of it


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(
    filled: Api, llm: ScriptedLLM, new_window: OpenWindow, scheme: str
) -> None:
    llm.say(f"{FACT} It was built by Napoleon in 1812.")
    window = new_window(color_scheme=scheme, viewport={"width": 1280, "height": 800})
    page = window.open("").page
    assert serious(page) == []  # the dialog for the key
    page.get_by_label("Key", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    assert serious(page) == []  # the greeting
    answer = window.ask(QUESTION)
    answer.get_by_text("What happened").click()
    page.locator("#options summary").click()
    assert serious(page) == []
    answer.locator(".cite").click()
    page.locator("#reader mark").wait_for()
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Documents", exact=True).click()
    window.upload(("broken.pdf", b"%PDF-1.7"), ("new.md", b"# New\n\nText."))
    expect(page.locator("#uploads li[data-state]:not([data-state=active])")).to_have_count(2)
    page.locator("#state").click()
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Admin", exact=True).click()
    page.get_by_role("button", name="Make a key").click()
    page.locator("#made-key code").wait_for()
    page.locator("#all-jobs li").first.wait_for()
    assert serious(page) == []
    page.get_by_role("link", name="Ask", exact=True).click()
    page.locator("#past").click()
    page.locator("#kept li").wait_for()
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Documents", exact=True).click()
    page.keyboard.press("Escape")
    page.locator("#list [aria-label^=Delete]").first.click()
    assert serious(page) == []
