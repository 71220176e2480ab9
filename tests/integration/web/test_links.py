"""A link to a document at its quote: copied, followed, with a key, without one, and out of date."""

from urllib.parse import urlencode

from browser import OpenWindow, Window
from playwright.sync_api import expect
from rig import KEY, PORTS, Api
from scripted_llm import ScriptedLLM

QUESTION = "Which port does the retriever listen on?"
FACT = "The retriever listens on port 8080."


def address(window: Window, document: str, quote: str = "", **more: str) -> str:
    named = {**more, "document": document} | ({"quote": quote} if quote else {})
    return f"{window.url}/#{urlencode(named)}"


def test_a_copied_link_opens_the_document_at_its_quote_for_whoever_has_a_key(
    filled: Api, llm: ScriptedLLM, window: Window, new_window: OpenWindow
) -> None:
    llm.say(FACT)
    page = window.open().page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    window.ask(QUESTION).locator(".cite").click()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert KEY not in link
    other = new_window().page
    other.goto(link)
    dialog = other.locator("#key-dialog")
    dialog.get_by_label("Key", exact=True).fill(KEY)
    other.keyboard.press("Enter")
    expect(other.locator("#reader-title")).to_have_text("Ports")
    expect(other.locator("#reader mark")).to_have_text(FACT)
    expect(other.locator("#reader mark")).to_be_in_viewport()
    other.reload()
    expect(other.locator("#reader mark")).to_have_text(FACT)
    other.keyboard.press("Escape")
    expect(other.locator("#reader")).to_be_hidden()
    other.reload()
    other.bring_to_front()  # of two windows one has the focus, and a reload may give it up
    expect(other.locator("#question")).to_be_focused()
    expect(other.locator("#reader")).to_be_hidden()


def test_a_link_says_when_the_words_or_the_document_are_gone(api: Api, window: Window) -> None:
    api.ingest({"text": "😀 " + PORTS, "title": "Ports", "source": "ports.md"})
    (document,) = api.get("/v1/documents").json()["data"]
    page = window.open().page
    page.goto(address(window, document["id"], "Qdrant keeps the vectors."))
    expect(page.locator("#reader mark")).to_have_text("Qdrant keeps the vectors.")
    page.goto(address(window, document["id"], "Words that were there before."))
    reader = page.locator("#reader")
    expect(reader).to_contain_text("does not hold these words any more: “Words that were")
    expect(reader).to_contain_text("listens on port 8080")
    page.goto(address(window, document["id"]))
    expect(reader.locator(".notice")).to_have_count(0)
    expect(reader).to_contain_text("listens on port 8080")
    for gone in ("nobody", "../keys", "..", "<img src=x>", ""):
        page.goto(address(window, gone, "<b>these words</b>"))
        expect(reader).to_contain_text("The document is gone")
        expect(reader).to_contain_text("<b>these words</b>")


def test_a_link_that_carries_a_key_too_asks_before_it_replaces_one_and_opens_its_document(
    filled: Api, window: Window
) -> None:
    page = window.open().page
    document = filled.get("/v1/documents").json()["data"][0]
    page.goto(address(window, document["id"], key="bh_of-the-link"))
    expect(page.get_by_role("dialog", name="another API key")).to_be_visible()
    assert "bh_of-the-link" not in page.url
    page.get_by_role("button", name="Keep mine").click()
    expect(page.locator("#reader-title")).to_have_text(document["title"])
