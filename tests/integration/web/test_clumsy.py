"""What goes wrong in a person's hands, and around them: it ends in words that say what to do."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from browser import Window
from playwright.sync_api import Browser, Locator, Page, expect
from rig import KEY, PORTS, SOUP, Api, Neighbour, running
from scripted_llm import ScriptedLLM
from serving import free_port

from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"
FACT = "The retriever listens on port 8080."


def begun(window: Window, llm: ScriptedLLM) -> Locator:
    """The answer that is under way, and stays so."""
    llm.say(FACT + " And more.")
    llm.hold = True
    window.page.locator("#question").fill(QUESTION)
    window.page.keyboard.press("Enter")
    answer = window.page.locator(".answer").last
    expect(answer.locator(".said")).to_contain_text(FACT)
    return answer


def test_a_double_click_asks_once_and_stops_nothing(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT + " And more.")
    llm.hold = True
    window.open().page.locator("#question").fill(QUESTION)
    window.page.locator("#send").dblclick()
    answer = window.page.locator(".answer")
    expect(answer.locator(".said")).to_contain_text(FACT)
    expect(answer.locator(".state")).to_have_text("Answering…")
    window.page.locator("#send").click()
    expect(answer.locator(".state")).to_contain_text("Stopped")


def test_escape_closes_what_lies_above_before_it_stops_an_answer(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    answer = begun(window.open(), llm)
    window.page.locator("#state").click()
    expect(window.page.locator("#parts")).to_be_visible()
    window.page.keyboard.press("Escape")
    expect(window.page.locator("#parts")).to_be_hidden()
    expect(answer.locator(".state")).to_have_text("Answering…")
    window.page.keyboard.press("Escape")
    expect(answer.locator(".state")).to_contain_text("Stopped")


def test_a_key_that_is_no_longer_good_is_asked_for_and_the_question_can_go_on(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    window.open().page.evaluate("sessionStorage.setItem('bulkhead-key', 'bh_expired')")
    window.page.locator("#question").fill(QUESTION)
    window.page.keyboard.press("Enter")
    dialog = window.page.get_by_role("dialog")
    expect(dialog).to_contain_text("does not know this key")
    window.page.keyboard.press("Escape")
    problem = window.page.locator(".answer").get_by_role("alert")
    expect(problem).to_contain_text("the button “Key” takes one")
    window.page.get_by_role("button", name="Key", exact=True).click()
    dialog.get_by_label("Key", exact=True).fill(KEY)
    window.page.keyboard.press("Enter")
    problem.get_by_role("button", name="Try again").click()
    expect(window.page.locator(".said")).to_contain_text(FACT)
    expect(window.page.locator(".answer")).to_have_count(1)


class TestRestart:
    """A retriever that goes away and comes back at the same address."""

    @pytest.fixture
    def retriever(self, settings: RetrieverSettings) -> Iterator["Retriever"]:
        retriever = Retriever(settings)
        retriever.start()
        yield retriever
        retriever.stop()

    @pytest.fixture
    def window(self, browser: Browser, retriever: "Retriever") -> Iterator[Window]:
        window = Window(browser.new_context().new_page(), retriever.url)
        yield window
        window.page.context.close()
        assert window.faults == []

    def test_an_answer_breaks_off_in_words_and_can_be_asked_for_again(
        self, retriever: "Retriever", llm: ScriptedLLM, window: Window
    ) -> None:
        answer = begun(window.open(), llm)
        retriever.stop()
        expect(answer.locator(".state")).to_contain_text("Broke off")
        expect(answer.locator(".said")).to_contain_text(FACT)
        expect(window.page.locator("#state")).to_have_text("Not reachable")
        window.page.get_by_role("button", name="Try again").click()
        expect(answer.get_by_role("alert")).to_contain_text("make serve")
        llm.hold = False
        retriever.start()
        window.page.get_by_role("button", name="Try again").click()
        window.page.locator(".happened").wait_for()
        expect(window.page.locator(".said")).to_contain_text(FACT)

    def test_an_upload_goes_on_where_it_was(
        self, retriever: "Retriever", embedding_server: Neighbour, window: Window
    ) -> None:
        embedding_server.stop()
        window.open(view="Documents").upload(("soup.txt", SOUP.encode()))
        row = window.page.locator("#uploads li")
        expect(row).to_contain_text("waiting: the embedding server does not answer")
        retriever.stop()
        embedding_server.start()
        retriever.start()
        expect(row).to_have_attribute("data-state", "done")


class Retriever:
    """The retriever with a document in it, at one address however often it is started."""

    def __init__(self, settings: RetrieverSettings) -> None:
        self._settings = settings
        self._port = free_port()
        self._exits = ExitStack()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        api = self._exits.enter_context(running(self._settings, port=self._port))
        if not api.get("/v1/documents").json()["data"]:
            api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})

    def stop(self) -> None:
        self._exits.close()


def test_a_key_that_is_revoked_amid_an_answer_ends_it_in_words_and_another_one_goes_on(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    made = filled.post("/v1/keys", json={"tenant": "default", "role": "reader"}).json()
    llm.say(f"{FACT} " + " ".join(f"More{n}." for n in range(2000)))
    llm.pause = 0.01
    page = window.open(made["key"]).page
    page.locator("#question").fill(QUESTION)
    page.keyboard.press("Enter")
    answer = page.locator(".answer")
    expect(answer.locator(".said")).to_contain_text(FACT)
    filled.delete(f"/v1/keys/{made['id']}")
    expect(answer.locator(".state")).to_contain_text("Broke off")
    expect(answer.locator(".said")).to_contain_text(FACT)
    expect(answer.get_by_role("alert")).to_contain_text("the button “Key” takes one")
    answer.get_by_role("button", name="Try again").click()
    dialog = page.locator("#key-dialog")
    expect(dialog).to_contain_text("does not know this key")
    llm.say(FACT)
    dialog.get_by_label("Key", exact=True).fill(KEY)
    dialog.get_by_label("take my conversations along").check()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    page.locator(".answer").get_by_role("button", name="Try again").click()
    expect(page.locator(".said")).to_contain_text(FACT)
    expect(page.locator(".answer")).to_have_count(1)


def test_back_and_forward_change_the_view_and_lose_nothing(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    window.open().ask(QUESTION)
    window.page.get_by_role("link", name="Documents", exact=True).click()
    expect(window.page.locator("#list li")).to_have_count(2)
    window.page.go_back()
    expect(window.page.locator(".said")).to_contain_text(FACT)
    window.page.go_forward()
    expect(window.page.locator("#list li")).to_have_count(2)


def test_a_page_whose_parts_did_not_all_come_asks_for_a_reload(api: Api, window: Window) -> None:
    window.page.route("**/web/sse.js", lambda route: route.abort())
    window.page.goto(window.url)
    size = "getComputedStyle(document.querySelector('#state'), '::after').fontSize"
    assert window.page.evaluate(size) == "0px"
    window.page.evaluate("document.getAnimations().forEach((one) => one.finish())")
    assert window.page.evaluate(size) != "0px"
    window.page.unroute("**/web/sse.js")
    window.page.reload()
    expect(window.page.locator("#state")).to_have_text("Ready")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (413, "too_large", "Split it"),
        (415, "unsupported_media_type", "Send PDF"),
        (429, "rate_limited", "Try again in 7 s"),
        (503, "unavailable", "the state at the top says what is down"),
        (500, "internal", "the log has more under the request's id"),
        (502, None, "The server answered 502, without a reason. Try again."),
    ],
)
def test_every_refusal_says_what_to_do(
    api: Api, window: Window, status: int, kind: str | None, words: str
) -> None:
    error = {"type": kind, "message": "no", "request_id": "r-1"}
    reply: dict[str, Any] = {"json": {"error": error}} if kind else {"body": "<h1>Bad</h1>"}
    window.page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(status=status, headers={"Retry-After": "7"}, **reply),
    )
    window.open().page.locator("#question").fill(QUESTION)
    window.page.keyboard.press("Enter")
    problem = window.page.locator(".answer").get_by_role("alert")
    expect(problem).to_contain_text(words)
    expect(problem.get_by_role("button", name="Try again")).to_be_visible()


def test_a_folder_that_is_dropped_is_said_to_be_one(
    api: Api, window: Window, tmp_path: Path
) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "soup.txt").write_text(SOUP)
    (tmp_path / "note.txt").write_text("A note.")
    window.open(view="Documents")
    drop(window.page, folder, tmp_path / "note.txt")
    rows = window.page.locator("#uploads li")
    expect(rows.first).to_have_attribute("data-state", "failed")
    expect(rows.first).to_contain_text("This is a folder")
    expect(rows.first).to_contain_text("make ingest")
    expect(rows.last).to_have_attribute("data-state", "done")


def drop(page: Page, *paths: Path) -> None:
    """Drag files and folders of this machine in, as a person would."""
    cdp = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        cdp.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def test_a_name_of_five_thousand_letters_takes_no_more_than_its_place(
    api: Api, window: Window
) -> None:
    name = "very-long-" * 500
    api.ingest({"text": SOUP, "title": name[:1000], "source": "long.txt"})
    page = window.open(view="Documents").page
    row = page.locator("#list li")
    expect(row).to_have_count(1)
    shown = row.bounding_box()
    assert shown is not None and shown["height"] < 250
    row.locator(".name").click()
    expect(page.locator("#reader-text")).to_contain_text("lentil")
    text = page.locator("#reader-text").bounding_box()
    assert text is not None and text["height"] > 500
    page.keyboard.press("Escape")
    window.upload((f"{name}.txt", b"Something else."))
    upload = page.locator("#uploads li")
    expect(upload).to_have_attribute("data-state", "failed")
    expect(upload.locator(".muted")).to_contain_text("Change what it names")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_words_written_from_right_to_left_begin_at_the_right(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say("يستمع المسترجع على المنفذ 8080.")
    answer = window.open().ask(QUESTION)
    gap = answer.locator(".said").evaluate(
        """(said) => {
            const words = document.createRange();
            words.selectNodeContents(said);
            return said.getBoundingClientRect().right - words.getBoundingClientRect().right;
        }"""
    )
    assert gap < 1
