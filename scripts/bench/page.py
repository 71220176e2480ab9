"""How quickly the page shows, and how it grows: headless Chromium against a retriever that runs.

First contentful paint beside the same server's `/healthz`, a page of one line, in turns, so that
what the machine does meanwhile falls on both. Then a conversation of many messages, with the
answers made in the browser: time and work of an added question with its answer, the wait for a
frame while scrolling, tasks above 50 ms. Then a short and a long document.
"""

import statistics
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.sync_api import Browser, Page, Route, sync_playwright

_PAINTED = """() => new Promise((resolve) => new PerformanceObserver((list) => {
    const paint = list.getEntriesByName("first-contentful-paint")[0];
    if (paint) resolve(paint.startTime);
}).observe({ type: "paint", buffered: true }))"""
_LONG_TASKS = """() => {
    window.long = [];
    new PerformanceObserver((list) => list.getEntries().forEach((one) => long.push(one.duration)))
        .observe({ type: "longtask" });
}"""
_ASK = """async ([body, messages]) => {
    const real = window.fetch;
    window.fetch = (path, ...rest) =>
        path.includes("chat") ? Promise.resolve(new Response(body)) : real(path, ...rest);
    const room = document.querySelector("#conversation");
    const times = [];
    // Nothing here may ask for all the answers: to count them takes longer the more there are.
    for (let n = room.querySelectorAll(".happened").length * 2; n < messages; n += 2) {
        const began = performance.now();
        document.querySelector("#question").value = "Which port?";
        document.querySelector("#composer").requestSubmit();
        while (room.ariaBusy === "true") await new Promise((wake) => setTimeout(wake));
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - began);
    }
    return times;
}"""
_SCROLL = """async () => {
    const times = [];
    for (let n = 0; n < 40; n += 1) {
        const began = performance.now();
        scrollBy(0, n < 20 ? -500 : 500);
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - began);
    }
    return times;
}"""
_OPEN = """async () => {
    const began = performance.now();
    document.querySelector("#list .name").click();
    while (!document.querySelector("#reader .block")) await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    return performance.now() - began;
}"""
_TIMED = 25  # pairs of question and answer, the last before a count is reached
_ANSWER = (
    'data: {"id": "a", "choices": [{"delta": {"content": "It listens on port 8080. [1]"}}]}\n\n'
    'data: {"choices": [{"delta": {}, "finish_reason": "stop"}],'
    ' "citations": [{"marker": 1, "document_id": "d", "title": "Ports",'
    ' "start": 0, "end": 9, "quote": "port 8080"}], "grounding": {"supported": true}}\n\n'
    "data: [DONE]\n\n"
)


def main(
    url: Annotated[str, typer.Option(help="The retriever.")] = "http://127.0.0.1:8080",
    key_file: Annotated[Path, typer.Option(help="File with a key.")] = Path(".data/api-key"),
    chromium: Annotated[str, typer.Option(help="The browser.")] = "/usr/bin/chromium",
    loads: Annotated[int, typer.Option(help="Loads of each page.")] = 20,
    messages: Annotated[int, typer.Option(help="Messages in the long conversation.")] = 1000,
) -> None:
    """Measure the page."""
    link = f"{url}/#key={key_file.read_text().strip()}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        _first_paint(browser, url, link, loads)
        _conversation(_opened(browser, link), messages)
        _document(browser, link)
        browser.close()


def _first_paint(browser: Browser, url: str, link: str, loads: int) -> None:
    times: dict[str, list[float]] = {"page": [], "one line": []}
    for _ in range(loads):
        for name, address in (("page", link), ("one line", f"{url}/healthz")):
            page = browser.new_page()  # a profile of its own: nothing is cached
            page.goto(address)
            times[name].append(page.evaluate(_PAINTED))
            page.close()
    for name, taken in times.items():
        print(f"first contentful paint, {name}: {_told(taken)}, {loads} loads")


def _conversation(page: Page, messages: int) -> None:
    metrics = page.context.new_cdp_session(page)
    metrics.send("Performance.enable")

    def worked() -> float:
        """Seconds that the page's main thread has worked; waiting for a frame is not work."""
        told = metrics.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in told if one["name"] == "TaskDuration"))

    for count in sorted({10, 60, messages}):
        page.evaluate(_LONG_TASKS)
        page.evaluate(_ASK, [_ANSWER, count - 2 * _TIMED])
        before = worked()
        added = page.evaluate(_ASK, [_ANSWER, count])
        work = (worked() - before) / len(added) * 1000
        scrolled = page.evaluate(_SCROLL)
        long = page.evaluate("long")
        print(
            f"{count} messages: an added pair {_told(added)}, {work:.1f} ms of work;"
            f" a frame of scrolling {_told(scrolled)};"
            f" tasks above 50 ms {len(long)}, longest {max(long, default=0):.0f} ms"
        )


def _document(browser: Browser, link: str) -> None:
    for pages in (2, 200):
        text = "\f".join(f"Page {n}. " + "Nothing of note. " * 180 for n in range(pages))
        window = _opened(browser, link)
        _answer(window, "**/v1/documents?*", json=_listing(pages))
        _answer(window, "**/v1/documents/d", json=_listing(pages)["data"][0])
        _answer(window, "**/text", body=text, content_type="text/plain")
        window.get_by_role("link", name="Documents", exact=True).click()
        window.locator("#list .name").wait_for()
        window.evaluate(_LONG_TASKS)
        taken = window.evaluate(_OPEN)
        long = window.evaluate("long")
        print(f"a document of {pages} pages opens in {taken:.0f} ms; tasks above 50 ms {len(long)}")


def _listing(pages: int) -> dict[str, Any]:
    about = {
        "id": "d",
        "title": "Log",
        "source": "log",
        "pages": pages,
        "chunks": pages,
        "groups": [],
    }
    return {"data": [{**about, "created_at": "2026-01-01T00:00:00Z"}], "next_cursor": None}


def _answer(page: Page, address: str, **reply: Any) -> None:
    def fulfil(route: Route) -> None:
        route.fulfill(**reply)

    page.route(address, fulfil)


def _opened(browser: Browser, link: str) -> Page:
    page = browser.new_page()
    page.goto(link)
    page.locator("#state:not([data-state=checking])").wait_for()
    return page


def _told(taken: list[float]) -> str:
    return f"median {statistics.median(taken):.0f} ms, most {max(taken):.0f} ms"


if __name__ == "__main__":
    typer.run(main)
