"""People log in on the page, at a real OpenID provider, and leave nothing behind."""

import re
from collections.abc import Iterator

import httpx2
import pytest
from browser import OpenWindow, Window
from playwright.sync_api import expect
from real_provider import SETTINGS, providing
from rig import PORTS, Api, running
from scripted_llm import ScriptedLLM
from serving import free_port

from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"
FACT = "The retriever listens on port 8080."


@pytest.fixture
def page_port() -> int:
    return free_port()


@pytest.fixture
def issuer(page_port: int) -> Iterator[str]:
    with providing(f"http://127.0.0.1:{page_port}") as issuer:
        yield issuer


@pytest.fixture
def api(settings: RetrieverSettings, issuer: str, page_port: int) -> Iterator[Api]:
    told = {**settings.model_dump(), **SETTINGS, "oidc_issuer": issuer, "port": page_port}
    with running(RetrieverSettings.model_validate(told), port=page_port) as api:
        yield api


def log_in(window: Window, name: str = "ada") -> None:
    """From the page's dialog through the provider's forms back to the page."""
    window.page.get_by_role("button", name="Log in").click()
    fill_in(window, name)


def fill_in(window: Window, name: str = "ada") -> None:
    window.page.get_by_placeholder("Enter any login").fill(name)
    window.page.get_by_placeholder("and password").fill("x")
    window.page.get_by_role("button", name="Sign-in").click()
    window.page.get_by_role("button", name="Continue").click()
    window.arrived()
    expect(window.page.get_by_role("button", name="Log out")).to_be_visible()


def kept_in(window: Window) -> str:
    """All that the browser keeps for the page."""
    kept: str = window.page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )
    return kept


def test_a_person_logs_in_asks_and_logs_out_and_nothing_is_left(
    api: Api, llm: ScriptedLLM, window: Window, issuer: str
) -> None:
    llm.say(FACT)
    sent: list[str] = []
    window.page.on("request", lambda one: sent.append(one.headers.get("authorization", "")))
    window.page.goto(f"{window.url}/")
    log_in(window)
    assert window.page.url == f"{window.url}/"
    expect(window.page.get_by_role("button", name="Log out")).to_have_attribute("title", "ada")
    window.page.get_by_role("link", name="Documents", exact=True).click()
    window.upload(("ports.md", PORTS.encode()))
    expect(window.page.locator("#uploads li")).to_have_attribute("data-state", "done")
    window.page.get_by_role("link", name="Ask", exact=True).click()
    expect(window.ask(QUESTION).locator(".said")).to_contain_text(FACT)
    token = next(one for one in reversed(sent) if one).removeprefix("Bearer ")
    assert len(token.split(".")) == 3
    kept = kept_in(window)
    assert QUESTION in kept
    assert "eyJ" not in kept  # no token of any kind
    assert '"verifier"' not in kept
    window.page.reload()  # the provider knows who it is, and nobody is asked
    expect(window.page.get_by_role("button", name="Log out")).to_be_visible()
    expect(window.page.locator(".said")).to_contain_text(FACT)
    window.page.get_by_role("button", name="Log out").click()
    window.page.locator("#confirm").get_by_role("button", name="Log out").click()
    window.page.get_by_role("button", name=re.compile("Yes, sign me out")).click()
    window.arrived()
    expect(window.page.get_by_role("button", name="Log in")).to_be_visible()
    assert window.page.url == f"{window.url}/"
    assert "bulkhead-kept" not in kept_in(window)
    assert "bulkhead-login" not in kept_in(window)
    window.page.reload()
    expect(window.page.get_by_role("button", name="Log in")).to_be_visible()


def test_a_login_that_ended_loses_neither_what_is_typed_nor_what_was_answered(
    api: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say("Nothing is known of that.")
    window.page.goto(f"{window.url}/")
    log_in(window)
    window.ask("What was asked before?")
    window.page.route("**/v1/chat/completions", lambda route: route.fulfill(**REFUSED))
    window.page.route("**/token", lambda route: route.abort())  # and no new one is to be had
    window.page.locator("#question").fill(QUESTION)
    window.page.keyboard.press("Enter")
    expect(window.page.locator("#key-problem")).to_contain_text("Your login has ended")
    expect(window.page.locator("#question")).to_have_value(QUESTION)
    window.page.unroute_all()
    window.page.get_by_role("button", name="Log in").click()
    expect(window.page.get_by_role("button", name="Log out")).to_be_visible()
    expect(window.page.locator("#question")).to_have_value(QUESTION)
    expect(window.page.locator(".asked")).to_have_count(1)
    window.page.locator("#question").press("Enter")
    expect(window.page.locator(".asked")).to_have_count(2)


REFUSED = {
    "status": 401,
    "json": {"error": {"type": "unauthenticated", "message": "over", "request_id": "x"}},
}


def test_a_key_that_turns_at_the_provider_is_followed_while_people_ask(
    api: Api, llm: ScriptedLLM, new_window: OpenWindow, issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retriever.login.provider._BETWEEN_SECONDS", 0.0)
    llm.say("Nothing is known of that.")
    first, second = new_window(), new_window()
    first.page.goto(f"{first.url}/")
    log_in(first)
    assert httpx2.post(f"{issuer}/turn").status_code == 200
    second.page.goto(f"{second.url}/")
    log_in(second, "bob")
    second.ask("Is the new key taken?")
    expect(second.page.locator(".answer [role=alert]")).to_have_count(0)


def test_a_login_that_was_not_begun_here_or_went_wrong_is_told(
    api: Api, window: Window, issuer: str
) -> None:
    for query, words in (
        ("code=x&state=y", "not begun in this tab"),
        ("error=access_denied&state=y", "not begun in this tab"),
    ):
        window.page.goto(f"{window.url}/?{query}")
        expect(window.page.locator("#key-problem")).to_contain_text(words)
        assert window.page.url == f"{window.url}/"
    for changed, words in (
        ({"iss": "https://evil.example"}, "another provider"),
        ({"code": "forged"}, "does not log anybody in"),
        ({"state": "forged"}, "not begun in this tab"),
    ):
        window.page.goto(f"{window.url}/")
        with window.page.expect_navigation(url=re.compile("/interaction/")):
            window.page.get_by_role("button", name="Log in").click()
        visit = "JSON.parse(sessionStorage.getItem('bulkhead-visit')).state"
        window.page.goto(f"{window.url}/web/icon.svg")
        answer = {"iss": issuer, "code": "x", "state": window.page.evaluate(visit), **changed}
        window.page.goto(f"{window.url}/?{httpx2.QueryParams(answer)}")
        expect(window.page.locator("#key-problem")).to_contain_text(words)


def test_who_has_no_role_is_told_why(api: Api, window: Window) -> None:
    window.page.goto(f"{window.url}/")
    log_in(window, "nobody")
    window.page.locator("#question").fill(QUESTION)
    window.page.keyboard.press("Enter")
    told = window.page.locator(".answer").get_by_role("alert")
    expect(told).to_contain_text("its claim roles gives no role here")


def test_a_key_is_taken_beside_logins_and_a_link_with_one_asks_first(
    api: Api, window: Window
) -> None:
    window.open()
    expect(window.page.get_by_role("button", name="Key", exact=True)).to_be_visible()
    window.page.get_by_role("button", name="Key", exact=True).click()
    log_in(window)
    window.page.goto(f"{window.url}/#key=other")
    window.page.get_by_role("button", name="Keep mine").click()
    expect(window.page.get_by_role("button", name="Log out")).to_be_visible()


def test_the_policy_lets_the_page_ask_the_provider_alone(api: Api, issuer: str) -> None:
    policy = httpx2.get(f"{api.base_url}").headers["content-security-policy"]
    assert f"connect-src 'self' {issuer};" in policy
    assert policy.count("http") == 1
