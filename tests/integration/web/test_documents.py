"""Documents in the browser: files in, listed, found, opened, deleted; errors in words."""

import json
from collections.abc import Iterator

import pytest
from browser import Window
from playwright.sync_api import Route, expect
from rig import SOUP, Api, Neighbour, running

from retriever.settings import RetrieverSettings

WARNED = "Die Fähren über die Förde fahren täglich. Grüße aus dem Büro am Fährhafen.".encode(
    "latin-1"
)
"""A text whose encoding nothing tells."""


def test_each_file_has_its_own_end_and_an_error_is_in_words(api: Api, window: Window) -> None:
    window.open(view="Documents").upload(
        ("soup.txt", SOUP.encode()), ("broken.pdf", b"%PDF-1.7 and then nothing"), ("empty.md", b"")
    )
    uploads = window.page.locator("#uploads")
    for name, words in (("soup.txt", "Added · 1 chunk"), ("broken.pdf", "PDF"), ("empty.md", "")):
        row = uploads.locator("li", has_text=name)
        state = "done" if name == "soup.txt" else "failed"
        expect(row).to_have_attribute("data-state", state)
        expect(row).to_contain_text(words)
    expect(window.page.locator("#list li")).to_have_count(1)
    expect(window.page.locator("#list")).to_contain_text("soup.txt")
    window.upload(("soup.txt", SOUP.encode()))
    expect(uploads.locator("li").last).to_contain_text("unchanged")


def test_a_file_takes_the_place_of_a_document_only_when_told_so(api: Api, window: Window) -> None:
    window.open(view="Documents").upload(("soup.txt", SOUP.encode()))
    uploads, confirm = window.page.locator("#uploads > ul > li"), window.page.locator("#confirm")
    expect(uploads).to_have_attribute("data-state", "done")
    changed = SOUP.replace("4 euros", "5 euros").encode()
    for answer, told, price in (
        ("Keep what is there", "Left out", "4 euros"),
        ("Escape", "Left out", "4 euros"),
        ("Replace", "Replaced the older one", "5 euros"),
    ):
        window.page.get_by_role("button", name="Clear").click()
        window.upload(("soup.txt", changed), (f"{answer[0]}.txt", b"Something new."))
        expect(confirm).to_be_visible()
        expect(confirm).to_contain_text("“soup.txt”")
        expect(confirm).not_to_contain_text("new.txt")
        if answer == "Escape":
            window.page.keyboard.press(answer)
        else:
            confirm.get_by_role("button", name=answer, exact=True).click()
        expect(uploads.first).to_contain_text(told)
        expect(uploads.last).to_contain_text("Added")  # the other file goes in, whatever the answer
        documents = api.get("/v1/documents").json()["data"]
        (soup,) = [one for one in documents if one["source"] == "soup.txt"]
        assert price in api.text(soup["id"])


def test_what_was_lost_in_reading_a_file_is_told_at_once_and_stays_told(
    api: Api, window: Window
) -> None:
    window.open(view="Documents").upload(("hafen.txt", WARNED))
    upload = window.page.locator("#uploads > ul > li")
    expect(upload).to_have_attribute("data-state", "done")
    upload.get_by_text("1 warning").click()
    (warning,) = api.get("/v1/documents").json()["data"][0]["warnings"]
    expect(upload.locator("li")).to_contain_text(warning["message"])
    listed = window.page.locator("#list > li")
    listed.get_by_text("1 warning").click()
    expect(listed.locator("li")).to_contain_text(warning["message"])
    window.page.get_by_role("link", name="Admin", exact=True).click()
    job = window.page.locator("#all-jobs > li").first
    job.get_by_text("1 document with warnings").click()
    expect(job.locator("ul ul li")).to_contain_text(warning["message"])


def test_dropped_files_go_in_for_the_groups_that_are_named(api: Api, window: Window) -> None:
    window.open(view="Documents")
    window.page.get_by_label("Groups that may see them").fill("ops, night-shift")
    window.page.evaluate(
        """(text) => {
            const data = new DataTransfer();
            data.items.add(new File([text], "soup.txt"));
            const drop = { dataTransfer: data, bubbles: true };
            document.body.dispatchEvent(new DragEvent("drop", drop));
        }""",
        SOUP,
    )
    expect(window.page.locator("#list .group")).to_have_text(["night-shift", "ops"])
    (document,) = api.get("/v1/documents").json()["data"]
    assert set(document["groups"]) == {"ops", "night-shift"}


def test_a_group_that_cannot_be_is_an_error_that_names_it(api: Api, window: Window) -> None:
    window.open(view="Documents").page.get_by_label("Groups that may see them").fill("o/ps")
    window.upload(("soup.txt", SOUP.encode()))
    expect(window.page.locator("#uploads li")).to_contain_text("groups")
    expect(window.page.locator("#uploads li")).to_contain_text("Change what it names")
    assert api.get("/v1/documents").json()["data"] == []


def test_an_upload_waits_for_the_embedding_service_and_says_so(
    api: Api, embedding_server: Neighbour, window: Window
) -> None:
    embedding_server.stop()
    window.open(view="Documents").upload(("soup.txt", SOUP.encode()))
    row = window.page.locator("#uploads li")
    expect(row).to_have_attribute("data-state", "active")
    embedding_server.start()
    expect(row).to_have_attribute("data-state", "done")


def test_a_limit_is_waited_for_as_long_as_the_server_asks(api: Api, window: Window) -> None:
    refused = 0

    def limited(route: Route) -> None:
        nonlocal refused
        if route.request.method == "POST" and not refused:
            refused += 1
            error = {"type": "rate_limited", "message": "slow down", "request_id": "r"}
            route.fulfill(status=429, headers={"Retry-After": "1"}, json={"error": error})
        else:
            route.continue_()

    window.page.route("**/v1/documents", limited)
    window.open(view="Documents").upload(("soup.txt", SOUP.encode()))
    row = window.page.locator("#uploads li")
    expect(row).to_contain_text("Waiting 1 s")
    expect(row).to_have_attribute("data-state", "done")


class TestSmallLimit:
    @pytest.fixture
    def settings(self, settings: RetrieverSettings) -> RetrieverSettings:
        return settings.model_copy(update={"max_document_bytes": 1000})

    @pytest.fixture
    def api(self, settings: RetrieverSettings) -> Iterator[Api]:
        with running(settings) as api:
            yield api

    def test_a_file_that_is_too_large_is_not_even_sent(self, api: Api, window: Window) -> None:
        sent: list[str] = []
        window.page.on("request", lambda request: sent.append(request.method))
        window.open(view="Documents").upload(("big.txt", b"a" * 1001))
        expect(window.page.locator("#uploads li")).to_contain_text("Split it")
        assert "POST" not in sent


def test_the_list_is_paged_filtered_searched_and_deleted_from(api: Api, window: Window) -> None:
    api.ingest(
        *({"text": f"Note {n}.", "title": f"Note {n}", "source": f"n{n}"} for n in range(60))
    )
    api.ingest({"text": SOUP, "title": "Canteen", "source": "canteen.txt"})
    rows = window.open(view="Documents").page.locator("#list li:visible")
    expect(rows).to_have_count(50)
    window.page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(61)
    sought = window.page.get_by_role("searchbox")
    sought.fill("canteen")
    expect(rows).to_have_count(1)
    sought.fill("soup")
    window.page.keyboard.press("Enter")
    passage = window.page.locator("#passages li").first
    expect(passage).to_contain_text("lentil soup")
    passage.get_by_role("button").click()
    expect(window.page.locator("#reader mark")).to_contain_text("lentil soup")
    window.page.keyboard.press("Escape")
    sought.fill("canteen")
    delete = window.page.get_by_role("button", name="Delete Canteen")
    delete.click()
    window.page.get_by_role("button", name="Keep it").click()
    expect(rows).to_have_count(1)
    delete.click()
    window.page.get_by_role("button", name="Delete", exact=True).click()
    expect(rows).to_have_count(0)
    assert api.get("/v1/documents?limit=1000").json()["data"][-1]["source"] != "canteen.txt"


def test_a_document_that_is_gone_is_said_to_be_gone(filled: Api, window: Window) -> None:
    window.open(view="Documents")
    expect(window.page.locator("#list li")).to_have_count(2)
    for one in filled.get("/v1/documents").json()["data"]:
        filled.delete(f"/v1/documents/{one['id']}")
    window.page.locator("#list .name").first.click()
    expect(window.page.locator("#reader")).to_contain_text("The document is gone")


def test_two_hundred_pages_open_at_the_place(api: Api, window: Window) -> None:
    comet = "The comet passed at 04:17."
    api.ingest({"text": comet, "title": "Logbook", "source": "log"})
    pages = [
        f"Page {n} 🎈. " + "Nothing of note happened on this day. " * 80 for n in range(1, 201)
    ]
    pages[149] += comet
    text = "\f".join(pages)

    def found(route: Route) -> None:
        reply = route.fetch().json()
        start = text.index(comet)
        reply["results"][0] |= {"start": start, "end": start + len(comet)}
        route.fulfill(json=reply)

    window.page.route("**/v1/search", found)
    window.page.route("**/text", lambda route: route.fulfill(body=text, content_type="text/plain"))
    window.open(view="Documents").page.get_by_role("searchbox").fill("When did the comet pass?")
    window.page.keyboard.press("Enter")
    window.page.locator("#passages button").first.wait_for()
    window.page.locator("#passages button").first.click()
    mark = window.page.locator("#reader mark")
    expect(mark).to_have_text(comet)
    expect(mark).to_be_in_viewport()
    shown = window.page.evaluate(
        "[...document.querySelectorAll('#reader .block')].map((one) => one.textContent).join('')"
    )
    assert shown == text


def test_jobs_of_others_show_their_rate_and_can_be_cancelled(api: Api, window: Window) -> None:
    counts = {"total": 500, "pending": 380, "failed": 2, "added": 118}
    job = {"id": "j1", "state": "running", "counts": counts, "rate": 12.5, "eta_seconds": 30.4}
    cancelled: list[str] = []
    window.page.route(
        "**/v1/jobs?*", lambda route: route.fulfill(json={"data": [] if cancelled else [job]})
    )

    def cancel(route: Route) -> None:
        cancelled.append(route.request.url)
        route.fulfill(body=json.dumps(job))

    window.page.route("**/v1/jobs/j1/cancel", cancel)
    window.open(view="Documents")
    row = window.page.locator("#jobs li")
    expect(row).to_contain_text("120 of 500 documents · 2 failed · 12.5 a second · about 31 s left")
    row.get_by_role("button", name="Cancel").click()
    expect(window.page.locator("#jobs")).to_be_hidden()
    assert len(cancelled) == 1
