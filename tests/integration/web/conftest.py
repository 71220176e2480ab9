"""A window on the real retriever, in a real browser.

One retriever serves all tests of this folder, and each finds it without documents. A test that
names a neighbour, to stop it, has a retriever of its own.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from browser import CHROMIUM, NO_BROWSER, OpenWindow, Window, chromium
from house import House, standing
from playwright.sync_api import Browser
from rig import Api, running
from scripted_llm import ScriptedLLM


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with standing(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def llm(house: House) -> ScriptedLLM:
    house.llm = ScriptedLLM()
    return house.llm


@pytest.fixture
def api(request: pytest.FixtureRequest, house: House) -> Iterator[Api]:
    if {"embedding_server", "llm_server"} & set(request.fixturenames):
        with running(request.getfixturevalue("settings")) as api:
            yield api
    else:
        house.clear()
        yield house.api


@pytest.fixture(scope="module")  # no longer: where it is up, nothing else can run an event loop
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    with chromium() as browser:
        yield browser


@pytest.fixture
def new_window(browser: Browser, api: Api) -> Iterator[OpenWindow]:
    """Opens windows, each in a profile of its own; none may break the policy or throw an error."""
    opened: list[Window] = []

    def make(**context: Any) -> Window:
        made = Window(browser.new_context(**context).new_page(), str(api.base_url).rstrip("/"))
        opened.append(made)
        return made

    yield make
    for window in opened:
        window.page.context.close()
    assert [fault for window in opened for fault in window.faults] == []


@pytest.fixture
def window(new_window: OpenWindow) -> Window:
    return new_window(viewport={"width": 1280, "height": 800})
