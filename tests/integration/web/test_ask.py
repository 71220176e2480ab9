"""Asking in the browser: streamed, cited, stopped, gone on with, voted on."""

import json
import re

from browser import Window
from playwright.sync_api import expect
from rig import Api, Neighbour
from scripted_llm import ScriptedLLM

QUESTION = "Which port does the retriever listen on?"
FACT = "The retriever listens on port 8080."
CLAIM = "It was built by Napoleon in 1812."


def test_a_citation_opens_the_document_at_the_quoted_words(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(f"{FACT} {CLAIM}")
    answer = window.open().ask(QUESTION)
    expect(answer.locator(".said")).to_contain_text(FACT)
    chip = answer.get_by_role("button", name="Source 1: Ports", exact=True)
    chip.click()
    reader = window.page.locator("#reader")
    expect(reader.locator("mark")).to_have_text(FACT)
    expect(reader.locator("mark")).to_be_in_viewport()
    expect(reader.get_by_role("heading")).to_have_text("Ports")
    window.page.keyboard.press("Escape")
    expect(reader).to_be_hidden()
    expect(chip).to_be_focused()


def test_offsets_are_code_points_whatever_the_text_begins_with(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    before = "\ufeff😀👩‍🚀 nul \x00\r\n\r\n"
    fact = "The zeppelin 🎈 lands on platform 7."
    filled.ingest({"text": before + fact + " Next.", "title": "Air", "source": "air"})
    llm.say(fact)
    answer = window.open().ask("On which platform does the zeppelin land?")
    answer.locator(".cite").click()
    expect(window.page.locator("#reader mark")).to_have_text(fact)


def test_a_sentence_that_nothing_bears_out_is_marked_and_said(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(f"{FACT} {CLAIM}")
    answer = window.open().ask(QUESTION)
    expect(answer.locator(".unsupported")).to_have_count(1)
    expect(answer.locator(".unsupported")).to_contain_text(CLAIM)
    expect(answer.locator(".notice")).to_contain_text("No source bears out the underlined sentence")


def test_an_abstention_looks_like_one(filled: Api, window: Window) -> None:
    answer = window.open().ask("Zebra habitats of Namibia?")
    expect(answer).to_have_class(re.compile("abstained"))
    expect(answer.locator(".state")).to_contain_text("Nothing found")
    expect(answer.locator(".notice")).to_contain_text("Ask in other words")
    expect(answer.locator(".sources")).to_have_count(0)
    expect(answer).not_to_contain_text(re.compile("null|undefined"))


def test_a_stop_ends_the_model_and_keeps_what_came(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT + " And more.")
    llm.hold = True
    window.open().page.locator("#question").fill(QUESTION)
    window.page.keyboard.press("Enter")
    answer = window.page.locator(".answer")
    expect(answer.locator(".said")).to_contain_text(FACT)
    window.page.get_by_role("button", name="Stop").click()
    assert llm.cancelled.wait(60)
    expect(answer.locator(".state")).to_contain_text("Stopped")
    expect(answer.locator(".said")).to_contain_text(FACT)
    llm.hold = False
    answer.get_by_role("button", name="Ask again").click()
    expect(window.page.locator(".happened")).to_have_count(1)
    expect(window.page.locator(".answer")).to_have_count(1)


def test_a_conversation_goes_on_without_the_markers_and_can_start_over(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    window.open().ask(QUESTION)
    window.ask("And which port does the embedding service listen on?")
    sent = [(turn["role"], turn["content"]) for turn in llm.requests[-1]["messages"]]
    assert ("assistant", FACT) in sent
    window.page.get_by_role("button", name="New conversation").click()
    window.ask(QUESTION)
    assert FACT not in [turn["content"] for turn in llm.requests[-1]["messages"]]


def test_what_happened_shows_stages_chunks_scores_and_tokens(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    answer = window.open().ask(QUESTION)
    answer.get_by_text("What happened").click()
    for stage in ("Embed the question", "Search", "Generate", "In all"):
        expect(answer.locator(".stages")).to_contain_text(stage)
    first = filled.ask(QUESTION).json()["retrieval"]["results"][0]
    cells = answer.locator(".scores tbody tr").first.locator("td").all_inner_texts()
    assert cells[2] == f"{first['scores']['dense']:.3f}"
    assert cells[3] == f"{first['scores']['sparse']:.3f}"
    expect(answer.locator("dl")).to_contain_text("7 tokens in")
    answer.locator(".scores button").first.click()
    expect(window.page.locator("#reader mark")).to_contain_text("Ports")


def test_a_vote_and_its_comment_are_kept(filled: Api, llm: ScriptedLLM, window: Window) -> None:
    llm.say(FACT)
    answer = window.open().ask(QUESTION)
    with window.page.expect_response("**/v1/feedback") as first:
        answer.get_by_role("button", name="Not helpful").click()
    assert first.value.status == 201
    expect(answer.get_by_role("button", name="Not helpful")).to_have_attribute(
        "aria-pressed", "true"
    )
    with window.page.expect_response("**/v1/feedback") as second:
        answer.get_by_label("Comment").fill("The page is not right.")
        window.page.keyboard.press("Enter")
    assert "The page is not right." in (second.value.request.post_data or "")
    assert second.value.status == 201


def test_a_copy_has_the_answer_and_its_sources(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT)
    window.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer = window.open().ask(QUESTION)
    answer.get_by_role("button", name="Copy").click()
    expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    copied = window.page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{FACT} [1]\n[1] Ports: “{FACT}”"


def test_screen_readers_are_told_the_answer_once_and_not_by_token(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(" ".join([FACT] + [f"Port {n} is a number too." for n in range(20)]))
    window.open().page.evaluate(
        """() => {
            window.told = [];
            new MutationObserver(() => told.push(announcer.textContent))
                .observe(announcer, { childList: true });
        }"""
    )
    window.ask(QUESTION)
    told = window.page.evaluate("told")
    assert 1 <= len(told) <= 3
    assert FACT in told[0]
    assert "1 source" in told[-1]


def test_the_answer_moves_nothing_while_it_streams(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(" ".join([FACT] + [f"Port {n} is a number too." for n in range(80)]))
    window.open().page.evaluate(
        """() => {
            window.shift = 0;
            window.add = (entries) => entries.forEach((entry) => shift += entry.value);
            window.shifts = new PerformanceObserver((list) => add(list.getEntries()));
            shifts.observe({ type: "layout-shift", buffered: false });
        }"""
    )
    window.ask(QUESTION)
    window.ask(QUESTION)
    shift = window.page.evaluate(
        """async () => {
            for (let n = 0; n < 3; n += 1) await new Promise(requestAnimationFrame);
            add(shifts.takeRecords());
            return shift;
        }"""
    )
    assert shift < 0.01


def test_a_trace_is_a_link_where_grafana_is_known(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    last = {"id": "c1", "choices": [], "trace_id": "4bf92f3577b34da6"}
    window.page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(
            body=f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n",
            content_type="text/event-stream",
        ),
    )
    window.page.route(
        "**/web/config.json",
        lambda route: route.fulfill(
            json={"grafana_url": "http://grafana:3000/", "tools": False, "examples": []}
        ),
    )
    answer = window.open().ask(QUESTION)
    answer.get_by_text("What happened").click()
    link = answer.get_by_role("link", name="4bf92f3577b34da6")
    assert (link.get_attribute("href") or "").startswith("http://grafana:3000/explore?")


def test_a_model_server_that_is_down_gets_an_error_that_says_what_to_do(
    filled: Api, llm: ScriptedLLM, llm_server: Neighbour, window: Window
) -> None:
    llm.say(FACT)
    window.open()
    llm_server.stop()
    window.page.locator("#question").fill(QUESTION)
    window.page.keyboard.press("Enter")
    problem = window.page.get_by_role("alert")
    expect(problem).to_contain_text("Start the model server")
    expect(window.page.locator("#state")).to_have_text("Degraded: Model server")
    llm_server.start()
    problem.get_by_role("button", name="Try again").click()
    expect(window.page.locator(".said")).to_contain_text(FACT)
    expect(window.page.get_by_role("alert")).to_have_count(0)


def test_an_answer_that_breaks_off_says_so_and_keeps_what_came(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    llm.say(FACT + " And more.")
    llm.break_after = len(llm.words) - 1
    window.open().page.locator("#question").fill(QUESTION)
    window.page.keyboard.press("Enter")
    answer = window.page.locator(".answer")
    expect(answer.get_by_role("alert")).to_contain_text("Try again")
    expect(answer.locator(".state")).to_contain_text("Broke off")
    expect(answer.locator(".said")).to_contain_text(FACT)


def test_without_the_embedding_service_the_answer_says_what_it_did_without(
    filled: Api, llm: ScriptedLLM, embedding_server: Neighbour, window: Window
) -> None:
    llm.say(FACT)
    embedding_server.stop()
    answer = window.open().ask(QUESTION)
    expect(answer.locator(".notice")).to_contain_text("by words alone")
    window.page.locator("#state").click()
    expect(window.page.locator("#parts")).to_contain_text("Embedding service is down")
    expect(window.page.locator("#parts")).to_contain_text("Why:")
