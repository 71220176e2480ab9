"""Conversations that this browser keeps: over a reload, several, each key's own, and never lost."""

import re

from browser import Window
from playwright.sync_api import Locator, Page, expect
from rig import KEY, Api
from scripted_llm import ScriptedLLM

QUESTION = "Which port does the retriever listen on?"
OTHER = "What does a bowl of soup cost?"
FACT = "The retriever listens on port 8080."


def kept(page: Page) -> Locator:
    """The list of conversations, open."""
    page.get_by_role("button", name=re.compile("^Conversations")).click()
    return page.locator("#kept li")


def fill_up(page: Page) -> None:
    """Leave the browser no room for another character."""
    page.evaluate(
        """() => {
            for (let size = 2 ** 23; size >= 1; size /= 2) {
                try {
                    localStorage.setItem(`x${size}`, "x".repeat(size));
                } catch { /* half of it */ }
            }
        }"""
    )


def test_a_conversation_stays_over_a_reload_and_goes_on(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    page = window.open().page
    window.ask(QUESTION)
    page.reload()
    expect(page.locator(".asked")).to_contain_text(QUESTION)
    expect(page.locator(".answer .state")).to_contain_text("Every sentence has a source")
    page.locator(".cite").click()
    expect(page.locator("#reader mark")).to_have_text(FACT)
    page.keyboard.press("Escape")
    page.get_by_text("What happened").click()
    expect(page.locator(".stages")).to_contain_text("Generate")
    window.ask("And which port does the embedding service listen on?")
    sent = [(turn["role"], turn["content"]) for turn in llm.requests[-1]["messages"]]
    assert ("assistant", FACT) in sent
    searched = page.locator(".answer").last.locator(".searched")
    expect(searched.locator("q")).to_have_text([QUESTION, FACT])
    assert KEY not in str(page.evaluate("Object.entries(localStorage)"))


def test_there_are_several_and_each_is_taken_up_renamed_and_deleted(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    page = window.open().page
    window.ask(QUESTION)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("article")).to_have_count(0)
    window.ask(OTHER)
    expect(kept(page)).to_have_count(2)
    expect(page.locator("#kept li").first).to_contain_text(OTHER)
    page.get_by_role("button", name=f"Rename {QUESTION}").click()
    page.get_by_label("New name").fill("<b>Ports</b>")
    page.keyboard.press("Enter")
    expect(page.locator("#kept li").last).to_contain_text("<b>Ports</b>")
    page.get_by_role("button", name="<b>Ports</b>", exact=True).click()
    expect(page.locator(".asked")).to_contain_text(QUESTION)
    window.ask("And the embedding service?")
    expect(kept(page).first).to_contain_text("<b>Ports</b>")  # its name stays as it goes on
    page.get_by_role("button", name="Delete <b>Ports</b>").click()
    page.get_by_role("button", name="Keep it").click()
    expect(kept(page)).to_have_count(2)
    page.get_by_role("button", name="Delete <b>Ports</b>").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#kept li")).to_have_count(1)
    expect(page.locator("#kept")).not_to_contain_text(re.compile("Delete all|false"))
    expect(page.locator("article")).to_have_count(0)
    assert QUESTION not in str(page.evaluate("Object.entries(localStorage)"))
    page.reload()
    expect(kept(page)).to_contain_text([OTHER])


def test_another_key_shows_its_own_conversations_and_none_of_the_one_before(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    page = window.open().page
    window.ask(QUESTION)
    made = filled.post("/v1/keys", json={"tenant": "default", "role": "reader"}).json()
    dialog = page.locator("#key-dialog")

    def use(key: str, along: bool = False) -> None:
        page.get_by_role("button", name="Key", exact=True).click()
        dialog.get_by_label("Key", exact=True).fill(key)
        dialog.get_by_label("take my conversations along").set_checked(along)
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()

    use(made["key"])
    expect(page.locator("article")).to_have_count(0)
    expect(page.locator("#past")).to_be_hidden()
    window.ask(OTHER)
    use(KEY)
    expect(page.locator("article")).to_have_count(0)
    expect(kept(page)).to_contain_text([QUESTION])
    page.get_by_role("button", name=QUESTION, exact=True).click()
    expect(page.locator(".asked")).to_contain_text(QUESTION)
    rotated = filled.post(f"/v1/keys/{made['id']}/rotate").json()["key"]
    use(rotated, along=True)
    expect(page.locator(".asked")).to_contain_text(QUESTION)
    page.reload()
    expect(page.locator(".asked")).to_contain_text(QUESTION)
    expect(kept(page)).to_have_count(1)


def test_where_the_browser_has_no_more_room_it_is_said_and_nothing_is_lost(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    page = window.open().page
    window.ask(QUESTION)
    fill_up(page)
    window.ask(OTHER)
    expect(page.get_by_role("alert")).to_contain_text("no more room")
    expect(page.locator(".answer")).to_have_count(2)
    for name in page.evaluate("Object.keys(localStorage).filter((one) => one[0] === 'x')"):
        page.evaluate("(name) => localStorage.removeItem(name)", name)
    window.ask("And now?")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.reload()
    expect(page.locator(".answer")).to_have_count(3)


def test_what_came_before_a_reload_is_kept_and_can_be_asked_for_again(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT + " And more.")
    llm.hold = True
    page = window.open().page
    page.locator("#question").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".said")).to_contain_text(FACT)
    page.reload()
    assert llm.cancelled.wait(60)
    expect(page.locator(".said")).to_contain_text(FACT)
    expect(page.locator(".state")).to_contain_text("What came so far is not checked")
    llm.hold = False
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator(".happened")).to_have_count(1)
    expect(page.locator(".answer")).to_have_count(1)
    page.reload()
    expect(page.locator(".answer")).to_have_count(1)
    expect(page.locator(".state")).not_to_contain_text("not checked")


def test_two_tabs_go_on_with_one_conversation_and_keep_what_both_were_told(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    window.open()
    window.ask(QUESTION)
    other = Window(window.page.context.new_page(), window.url).open()
    expect(other.page.locator("article")).to_have_count(0)  # a new tab begins anew
    kept(other.page)
    other.page.get_by_role("button", name=QUESTION, exact=True).click()
    other.ask("Asked in the other tab?")
    expect(window.page.locator(".asked")).to_have_count(2)
    window.ask("Asked in this tab?")
    expect(other.page.locator(".asked")).to_have_count(3)
    kept(other.page)
    other.page.get_by_role("button", name=f"Delete {QUESTION}").click()
    other.page.get_by_role("button", name="Delete", exact=True).click()
    expect(window.page.locator(".asked")).to_have_count(0)
    expect(window.page.locator("#past")).to_be_hidden()
    assert other.faults == []


def test_a_conversation_that_is_deleted_while_it_is_answered_stays_deleted(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT + " And more.")
    llm.hold = True
    page = window.open().page
    page.locator("#question").fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".said")).to_contain_text(FACT)
    kept(page)
    page.get_by_role("button", name=f"Delete {QUESTION}").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    assert llm.cancelled.wait(60)
    expect(page.locator("#greeting")).to_be_visible()
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_enabled()
    page.reload()
    expect(page.locator("#greeting")).to_be_visible()
    expect(page.locator("#past")).to_be_hidden()


def test_what_is_no_conversation_is_passed_over_and_a_broken_turn_breaks_no_other(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    page = window.open().page
    window.ask(QUESTION)
    for there in ("not JSON", "{}", "null", "[5]", '{"question": 5}'):
        page.evaluate(
            """(there) => {
                const all = Object.keys(localStorage);
                const name = all.find((one) => one.startsWith("bulkhead-kept"));
                localStorage.setItem(name.replace(/ [^ ]*$/, " 1-there"), there);
                localStorage.setItem(name.replace(/ [^ ]* [^ ]*$/, " another 1-there"), there);
            }""",
            there,
        )
        page.reload()
        expect(page.locator(".answer")).to_have_count(1)
        expect(kept(page)).to_have_count(1)
    page.evaluate(
        """() => {
            const broken = { question: "Broken?", text: "x", extras: { citations: 5 } };
            for (const name of Object.keys(localStorage)) {
                if (name.endsWith(" 1-there")) localStorage.setItem(name, JSON.stringify(broken));
            }
        }"""
    )
    page.reload()
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator(".answer").first.get_by_role("alert")).to_contain_text("met an error")
    expect(page.locator(".answer").last.locator(".said")).to_contain_text(FACT)
