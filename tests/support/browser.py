"""The page in a real Chromium, for tests: Debian's, driven by Playwright."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from rig import KEY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_PATIENCE_MS = 60_000  # a machine that has much else to do; a test that passes waits for none of it
NO_BROWSER = "no Chromium is installed: apt-get install chromium"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium of its own."""
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


class Window:
    """The page open in a browser window, with what a person does often."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        page.set_default_timeout(_PATIENCE_MS)
        self._cut_off = False
        page.on("requestfailed", lambda request: self._note_failure(request.failure or ""))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: self._note(message.text))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))

    def _note(self, text: str) -> None:
        if "Content Security Policy" in text or "Uncaught" in text:
            self.faults.append(text)

    def _note_failure(self, why: str) -> None:
        """Chromium drops what it is loading when an interface comes or goes, as containers' do."""
        self._cut_off = self._cut_off or "ERR_NETWORK_CHANGED" in why

    def open(self, key: str = KEY, view: str = "") -> "Window":
        """Open the page by the link that `make demo` prints; then the view."""
        self.page.goto(f"{self.url}/#key={key}")
        self.arrived()
        if view:
            self.page.get_by_role("link", name=view, exact=True).click()
        self.page.locator("#state:not([data-state=checking])").wait_for()
        return self

    def arrived(self) -> None:
        """Wait for the page, and load again what was cut off."""
        self.page.wait_for_url(lambda url: url.startswith(f"{self.url}/"))
        while self._cut_off:
            self._cut_off = False
            self.page.reload()

    def ask(self, question: str) -> Locator:
        """Ask by keyboard, wait for the end of the answer; the answer's element."""
        seen = self.page.locator(".happened").count()
        self.page.locator("#question").fill(question)
        self.page.keyboard.press("Enter")
        self.page.locator(".happened").nth(seen).wait_for()
        return self.page.locator(".answer").last

    def upload(self, *files: tuple[str, bytes]) -> None:
        """Choose files; each is a name and its bytes."""
        payload: Any = [
            {"name": name, "mimeType": "application/octet-stream", "buffer": content}
            for name, content in files
        ]
        self.page.locator("#files").set_input_files(payload)


OpenWindow = Callable[..., Window]


def serious(page: Page) -> list[Any]:
    """What axe-core finds that would keep someone out."""
    found = Axe().run(page).response["violations"]
    return [
        (one["id"], [node["html"] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
