"""Questions with tools, over HTTP: every step told, every result cited, every failure survived."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from desk import Desk, Office, desk_serving, write_policy
from leaving import asking
from rig import KEY, PORTS, Api, Neighbour, running
from scripted_llm import ScriptedLLM, Turn

from bulkhead.audit import read_head
from bulkhead.chain import verify
from retriever.answer import ground
from retriever.branding.branding import packaged
from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"


@pytest.fixture
def desk() -> Desk:
    return Desk(notes={"plan": "The harbour opens at seven.\nThe ferry leaves from pier 9."})


@pytest.fixture
def office(desk: Desk, tmp_path: Path) -> Iterator[Office]:
    with desk_serving(desk, tmp_path) as office:
        yield office


@pytest.fixture
def settings(settings: RetrieverSettings, office: Office, tmp_path: Path) -> RetrieverSettings:
    policy = write_policy(tmp_path, office.desk.definitions())
    told = settings.model_dump() | {
        "tool_policy_file": policy,
        "tool_servers_file": office.listed(),
    }
    return RetrieverSettings.model_validate(told)


def asked(api: Api, question: str = QUESTION, **fields: Any) -> dict[str, Any]:
    reply = api.ask(question, **{"rag": {"tools": True}} | fields)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def call(tool: str, **arguments: Any) -> tuple[str, str]:
    return f"desk__{tool}", json.dumps(arguments)


def outcomes(reply: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["tool"], step["outcome"]) for step in reply["steps"]]


def test_a_result_is_cited_like_a_document(filled: Api, llm: ScriptedLLM, desk: Desk) -> None:
    llm.play(
        Turn(calls=[call("read_note", name="plan")]),
        Turn("The ferry leaves from pier 9. The retriever listens on port 8080."),
    )
    reply = asked(filled)
    content = reply["choices"][0]["message"]["content"]
    assert content == "The ferry leaves from pier 9. [1] The retriever listens on port 8080. [2]"
    (step,) = reply["steps"]
    assert (step["server"], step["tool"], step["outcome"]) == ("desk", "read_note", "done")
    assert step["arguments"] == {"name": "plan"} and step["duration_ms"] > 0
    note, document = reply["citations"]
    assert step["text"][note["start"] : note["end"]] == note["quote"]
    assert note["tool"] == {"server": "desk", "tool": "read_note", "arguments": {"name": "plan"}}
    assert (note["document_id"], note["source"]) == (step["id"], "tool:desk/read_note")
    assert document["tool"] is None and document["quote"] in PORTS
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["usage"]["prompt_tokens"] == 14
    ((_, principal, _),) = desk.calls
    assert (principal.tenant, principal.key_id) == ("default", "admin")


def test_rules_and_tools_are_the_same_for_every_question_and_the_mark_of_results_is_its_own(
    filled: Api, llm: ScriptedLLM
) -> None:
    for question in ("Where does the ferry leave from?", "When does the harbour open?"):
        llm.play(Turn(calls=[call("read_note", name="plan")]), Turn("From pier 9."))
        asked(filled, question)
    first, second = (
        one["messages"] for one in llm.requests if one["messages"][-1]["role"] == "tool"
    )
    assert first[0] == second[0]
    marks = [
        one[1]["content"].removeprefix("The mark of results is ")[:16] for one in (first, second)
    ]
    assert marks[0] != marks[1]
    for messages, mark in zip((first, second), marks, strict=True):
        assert messages[-1]["content"].startswith(f"<result {mark}>\n")
    offered = [one["tools"] for one in llm.requests if one["messages"][-1]["role"] == "user"]
    assert offered[0] == offered[1]


def test_a_row_is_cited_as_a_row(filled: Api, llm: ScriptedLLM) -> None:
    llm.play(
        Turn(calls=[call("query", service="retriever")]),
        Turn("The service retriever has port 8080."),
    )
    reply = asked(filled, "Which note does the retriever have?")
    (citation,) = reply["citations"]
    text = reply["steps"][0]["text"]
    assert text.splitlines()[0].startswith("- service: retriever, port: 8080")
    if citation["tool"]:
        assert text[citation["start"] : citation["end"]] == citation["quote"]


def test_a_stream_tells_each_step_as_it_happens(filled: Api, llm: ScriptedLLM) -> None:
    turns = (
        Turn("Let me look. ", [call("read_note", name="plan"), call("list_notes")]),
        Turn("The ferry leaves from pier 9."),
    )
    llm.play(*turns)
    whole = asked(filled)
    llm.play(*turns)
    reply = filled.ask(QUESTION, stream=True, rag={"tools": True})
    chunks = [json.loads(line.removeprefix("data: ")) for line in reply.text.split("\n\n")[:-2]]
    steps = [chunk["step"] for chunk in chunks if "step" in chunk]
    assert [step["tool"] for step in steps] == ["read_note", "list_notes"]
    assert all(chunk["choices"][0]["delta"] == {} for chunk in chunks if "step" in chunk)
    last = chunks[-1]
    assert last["choices"][0]["finish_reason"] == "stop" and last["steps"] == steps
    words = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]]
    assert "".join(words) == whole["choices"][0]["message"]["content"]
    assert "".join(words) == "Let me look. \n\nThe ferry leaves from pier 9. [1]"


async def test_the_openai_client_reads_a_stream_with_steps(filled: Api, llm: ScriptedLLM) -> None:
    llm.play(Turn(calls=[call("list_notes")]), Turn("The retriever listens on port 8080."))
    async with openai.AsyncOpenAI(base_url=f"{filled.base_url}/v1/", api_key=KEY) as client:
        messages: Any = [{"role": "user", "content": QUESTION}]
        stream = await client.chat.completions.create(
            model="", messages=messages, stream=True, extra_body={"rag": {"tools": True}}
        )
        chunks = [chunk async for chunk in stream]
    words = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(words) == "The retriever listens on port 8080. [1]"
    assert (chunks[-1].model_extra or {})["steps"][0]["tool"] == "list_notes"


def test_without_tools_nothing_is_offered(filled: Api, llm: ScriptedLLM, desk: Desk) -> None:
    llm.say("The retriever listens on port 8080.")
    reply = filled.ask(QUESTION).json()
    assert reply["steps"] == []
    llm.play(Turn("The retriever listens on port 8080.", [call("list_notes")]))
    assert filled.ask(QUESTION).json()["steps"] == []
    assert desk.calls == []
    assert all("tools" not in request for request in llm.requests)


def test_the_model_is_offered_what_was_asked_for(filled: Api, llm: ScriptedLLM) -> None:
    asked(filled, rag={"tools": ["desk__read_note"]})
    tool, answer = llm.requests[0]["tools"]
    assert tool["function"]["name"] == "desk__read_note"
    assert answer["function"]["name"] == "answer"
    reply = filled.ask(QUESTION, rag={"tools": ["desk__format_disk"]})
    assert reply.status_code == 422
    assert "desk__read_note" in reply.json()["error"]["message"]
    for wrong in ("all", [1], {"desk": True}, ["x" * 100]):
        assert filled.ask(QUESTION, rag={"tools": wrong}).status_code == 422


def test_a_model_has_to_call_until_it_calls_for_the_answer(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    said = '{"pier": 9}'
    reading = Turn(calls=[call("read_note", name="plan")])
    llm.play(reading, Turn(calls=[("answer", "{}")]), Turn(said))
    reply = asked(filled, response_format={"type": "json_object"})
    assert reply["choices"][0]["message"]["content"] == said
    assert outcomes(reply) == [("read_note", "done")] and len(desk.calls) == 1
    *calling, answering = llm.requests
    assert len(calling) == 2
    assert all(one["tool_choice"] == "required" for one in calling)
    assert all("response_format" not in one for one in calling)
    assert "tool_choice" not in answering and "tools" not in answering
    assert answering["response_format"] == {"type": "json_object"}
    rules = packaged().answers.prompt
    assert rules.unknown_with_tools in calling[0]["messages"][0]["content"]
    assert rules.unknown_with_tools not in answering["messages"][0]["content"]
    assert all(rules.tools in one["messages"][0]["content"] for one in calling)
    # The last turn is a prompt as without tools, in which the result is a source.
    assert [one["role"] for one in answering["messages"]] == ["system", "user"]
    last = answering["messages"][-1]["content"]
    assert "<source>\ndesk read_note" in last and "The ferry leaves from pier 9." in last
    assert "<result" not in last


def test_a_call_for_the_answer_beside_another_waits_for_what_that_one_gives(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    both = Turn(calls=[call("read_note", name="plan"), ("answer", "{}")])
    llm.play(both, Turn("From pier 9."))
    assert outcomes(asked(filled)) == [("read_note", "done")] and len(desk.calls) == 1
    assert len(llm.requests) == 2


def test_a_model_that_needs_no_tool_answers_from_the_documents(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    llm.play(Turn(calls=[("answer", "{}")]), Turn("The retriever listens on port 8080."))
    reply = asked(filled)
    assert reply["choices"][0]["message"]["content"] == "The retriever listens on port 8080. [1]"
    assert reply["steps"] == [] and desk.calls == []


def test_of_llama_cpp_a_call_is_demanded_by_its_shape(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    llm.owner = "llamacpp"
    assert filled.get("/v1/models").status_code == 200  # who serves is asked anew
    said = "The ferry leaves from pier 9."
    reading = {"name": "desk__read_note", "arguments": {"name": "plan"}}
    llm.play(
        Turn(json.dumps(reading)), Turn(json.dumps({"name": "answer", "arguments": {}})), Turn(said)
    )
    reply = asked(filled)
    assert reply["choices"][0]["message"]["content"] == f"{said} [1]"
    assert outcomes(reply) == [("read_note", "done")]
    *calling, answering = llm.requests
    assert len(calling) == 2 and all("tool_choice" not in one and one["tools"] for one in calling)
    for one in calling:
        shapes = one["response_format"]["json_schema"]["schema"]["anyOf"]
        named = [shape["properties"]["name"]["const"] for shape in shapes]
        assert named == [tool["function"]["name"] for tool in one["tools"]]
    assert "tools" not in answering and "response_format" not in answering


def test_of_long_arguments_the_answer_reads_the_beginning(filled: Api, llm: ScriptedLLM) -> None:
    llm.play(Turn(calls=[call("read_note", name="plan " * 600)]), Turn(calls=[("answer", "{}")]))
    asked(filled)
    last = llm.requests[-1]["messages"][-1]["content"]
    assert "plan plan" in last and "plan " * 100 not in last


def test_with_nothing_to_answer_from_a_tool_has_to_be_called_first(
    api: Api, llm: ScriptedLLM
) -> None:
    llm.play(
        Turn(calls=[call("read_note", name="none")]),
        Turn(calls=[call("read_note", name="plan")]),
        Turn(calls=[("answer", "{}")]),
    )
    assert [outcome for _, outcome in outcomes(asked(api))] == ["failed", "done"]
    *calling, _ = llm.requests
    names = [{tool["function"]["name"] for tool in one["tools"]} for one in calling]
    assert ["answer" in one for one in names] == [False, False, True]


def test_a_search_is_a_tool_too(filled: Api, llm: ScriptedLLM) -> None:
    search = ("retriever__search_documents", '{"query": "lentil soup bowl euros"}')
    llm.play(Turn(calls=[search]), Turn("A bowl costs 4 euros."))
    reply = asked(filled)
    (citation,) = reply["citations"]
    assert (citation["source"], citation["tool"]) == ("canteen.txt", None)
    assert (
        filled.text(citation["document_id"])[citation["start"] : citation["end"]]
        == (citation["quote"])
    )
    assert "canteen.txt" in {hit["source"] for hit in reply["retrieval"]["results"]}


def test_a_searching_tool_keeps_to_the_filters_of_the_request(
    filled: Api, llm: ScriptedLLM
) -> None:
    search = ("retriever__search_documents", '{"query": "lentil soup bowl euros"}')
    llm.play(Turn(calls=[search]), Turn("A bowl costs 4 euros."))
    reply = asked(filled, rag={"tools": True, "filters": {"source": "ports.md"}})
    assert "lentil" not in reply["steps"][0]["text"]


def test_with_nothing_found_the_tools_may_still_answer(api: Api, llm: ScriptedLLM) -> None:
    llm.play(Turn(calls=[call("read_note", name="plan")]), Turn("The ferry leaves from pier 9."))
    reply = asked(api, "Where does the ferry leave from?")
    assert reply["grounding"]["supported"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('{"name": "plan"', "not JSON"),
        ('{"name": "plan"} {"name": "x"}', "cannot be read"),
        ("[]", "not an object"),
        ('"plan"', "not an object"),
        ("", "name"),
        ("null", "not an object"),
        ('{"name": "plan", "name": "x"}', "twice"),
        ('{"name": NaN}', "NaN"),
        ('{"name": 7}', "type"),
        ('{"name": null}', "type"),
        ('{"name": ["plan"]}', "type"),
        ('{"name": "plan", "tenant": "other"}', "unknown arguments"),
        ('{"name": "plan", "_meta": {}}', "unknown arguments"),
        ('{"name": "\\ud800"}', "surrogate"),
        ('{"name": "' + "x" * 2**20 + '"}', "4096 bytes"),
        ('{"name": ' + "[" * 2000 + "]" * 2000 + "}", ""),
    ],
)
def test_arguments_that_do_not_fit_reach_no_server(
    filled: Api, llm: ScriptedLLM, desk: Desk, arguments: str, says: str
) -> None:
    llm.play(Turn(calls=[("desk__read_note", arguments)]), Turn("I do not know."))
    (step,) = asked(filled)["steps"]
    assert step["outcome"] == "refused" and says in step["detail"]
    assert len(step["detail"]) < 500
    assert desk.calls == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "read_note",
        "desk__secret_admin",
        "desk__send_note ",
        "desk__read_note\n",
        "Desk__read_note",
        "desk/read_note",
        "desk__desk__read_note",
        "other__read_note",
        "tools/list",
        "functions.desk__read_note",
        "desk__read_note{}",
        "x" * 5000,
        "d\u0435sk__read_note",
    ],
)
def test_a_tool_outside_the_list_does_not_run(
    filled: Api, llm: ScriptedLLM, desk: Desk, name: str
) -> None:
    llm.play(Turn(calls=[(name, '{"name": "plan"}')]), Turn("I do not know."))
    (step,) = asked(filled)["steps"]
    assert (step["outcome"], step["server"]) == ("refused", "")
    assert desk.calls == []


def test_a_call_written_as_text_is_made_and_never_shown(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    written = json.dumps({"name": "desk__read_note", "arguments": {"name": "plan"}})
    llm.play(
        Turn(f"I look it up.\n```json\n{written}\n```"),
        Turn('<tool_call>{"name": "desk__read_note", "arguments": {"name": </tool_call>'),
        Turn("The ferry leaves from pier 9."),
    )
    reply = asked(filled, "Where does the ferry leave from?")
    assert outcomes(reply) == [("read_note", "done"), ("unreadable", "refused")]
    answer = reply["choices"][0]["message"]["content"]
    assert "desk__read_note" not in answer
    assert "tool_call" not in answer
    assert "The ferry leaves from pier 9. [1]" in answer
    assert [one["tool"]["tool"] for one in reply["citations"]] == ["read_note"]


def test_a_model_that_writes_calls_to_the_end_has_no_answer(filled: Api, llm: ScriptedLLM) -> None:
    written = json.dumps({"name": "desk__read_note", "arguments": {"name": "plan"}})
    llm.script = lambda _: Turn(f"<tool_call>{written}</tool_call>")
    reply = asked(filled)
    assert reply["choices"][0]["message"]["content"] == packaged().answers.said.no_answer
    assert reply["grounding"]["abstained"]


def test_a_write_is_not_offered_and_not_done_once_documents_were_read(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    llm.play(Turn(calls=[call("send_note", to="a", text="b")]))
    reply = asked(filled)
    names = {tool["function"]["name"] for tool in llm.requests[0]["tools"]}
    assert "desk__send_note" not in names and "desk__read_note" in names
    assert outcomes(reply) == [("send_note", "refused")]
    assert desk.sent == []


def test_a_write_needs_an_approval_of_this_very_call_once(
    api: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    def ask(to: str) -> dict[str, Any]:
        llm.play(Turn(calls=[call("send_note", to=to, text="hello")]), Turn("Done."))
        (step,) = asked(api, "Please send hello.")["steps"]
        return dict(step)

    step = ask("ann")
    assert step["outcome"] == "approval_required" and desk.sent == []
    approval = step["approval"]["id"]
    assert ask("ann")["approval"]["id"] == approval  # the same call waits for the same approval
    seen = api.get(f"/v1/approvals/{approval}").json()
    assert seen["arguments"] == {"to": "ann", "text": "hello"} and seen["state"] == "pending"
    assert api.post(f"/v1/approvals/{approval}", json={"decision": "maybe"}).status_code == 422
    assert api.post("/v1/approvals/x", json={"decision": "approve"}).status_code == 404
    done = api.post(f"/v1/approvals/{approval}", json={"decision": "approve"})
    assert done.json()["state"] == "approved"
    assert api.post(f"/v1/approvals/{approval}", json={"decision": "deny"}).status_code == 409
    assert ask("bob")["outcome"] == "approval_required" and desk.sent == []
    assert ask("ann")["outcome"] == "done"
    assert desk.sent == [("ann", "hello")]
    assert ask("ann")["outcome"] == "approval_required"  # used up
    assert desk.sent == [("ann", "hello")]


def test_who_decided_on_which_call_is_on_record(
    settings: RetrieverSettings, llm: ScriptedLLM
) -> None:
    with running(settings) as api:
        llm.play(Turn(calls=[call("send_note", to="ann", text="hello")]), Turn("Done."))
        (step,) = asked(api, "Please send hello.")["steps"]
        path = f"/v1/approvals/{step['approval']['id']}"
        api.get(path)
        for decision in ("approve", "deny"):
            api.post(path, json={"decision": decision})
    lines = [json.loads(line) for line in (settings.data_dir / "audit.jsonl").open()]
    told = [
        (line["action"], line["target"], line["tool"], line["decision"])
        for line in lines
        if line["action"].startswith("approval.")
    ]
    target = step["approval"]["id"]
    assert told == [
        ("approval.read", target, "desk/send_note", "allowed"),
        ("approval.decide", target, "desk/send_note", "allowed"),
        ("approval.decide", target, None, "denied"),
    ]


def test_an_answer_in_the_history_counts_as_others_words(
    api: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    llm.play(Turn(calls=[call("send_note", to="a", text="b")]))
    messages = [
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Please send it."},
    ]
    reply = api.post(
        "/v1/chat/completions", json={"messages": messages, "rag": {"tools": True}}
    ).json()
    assert outcomes(reply) == [("send_note", "refused")]


def test_a_read_ends_the_time_for_writes(api: Api, llm: ScriptedLLM, desk: Desk) -> None:
    llm.play(Turn(calls=[call("list_notes"), call("send_note", to="a", text="b")]), Turn("Done."))
    reply = asked(api, "Please send it.")
    assert outcomes(reply) == [("list_notes", "done"), ("send_note", "refused")]


def test_the_same_call_is_made_once(filled: Api, llm: ScriptedLLM, desk: Desk) -> None:
    again = ("desk__read_note", '{ "name" : "plan" }')
    llm.play(Turn(calls=[call("read_note", name="plan"), again]), Turn(calls=[again]))
    reply = asked(filled)
    assert [outcome for _, outcome in outcomes(reply)] == ["done", "refused", "refused"]
    assert len(desk.calls) == 1
    names = [{tool["function"]["name"] for tool in one["tools"]} for one in llm.requests]
    assert ["desk__read_note" in one for one in names] == [True, False, False]
    assert all("answer" in one and "desk__list_notes" in one for one in names)


def test_a_model_that_never_stops_calling_is_stopped(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    count = iter(range(1000))
    llm.script = lambda _: Turn(calls=[call("read_note", name=str(next(count)))])
    reply = asked(filled)
    assert len(desk.calls) <= 4
    assert reply["choices"][0]["message"]["content"].startswith("I could not answer")
    assert reply["grounding"]["abstained"]
    assert "tools" not in llm.requests[-1]
    assert len(llm.requests) <= 5


def test_a_hundred_calls_in_one_turn_are_mostly_refused(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    llm.play(Turn(calls=[call("query", service=str(n)) for n in range(100)]), Turn("Done."))
    reply = asked(filled)
    assert len(desk.calls) == 4
    assert len(reply["steps"]) == 9  # the budget, and one that says so


def test_a_huge_result_is_refused_and_the_answer_goes_on(filled: Api, llm: ScriptedLLM) -> None:
    llm.play(
        Turn(calls=[call("big", bytes=200_000), call("big", bytes=10**8), call("big", bytes=40)]),
        Turn("The retriever listens on port 8080."),
    )
    reply = asked(filled)
    assert [step["outcome"] for step in reply["steps"]] == ["refused", "failed", "done"]
    assert reply["grounding"]["supported"]


def test_a_result_that_does_not_fit_the_context_is_left_out(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    desk.notes["long"] = "word " * 5000  # the scripted server counts words, and takes 4096
    llm.play(
        Turn(calls=[call("read_note", name="long"), call("read_note", name="plan")]),
        Turn("The ferry leaves from pier 9."),
    )
    reply = asked(filled)
    assert [step["outcome"] for step in reply["steps"]] == ["refused", "done"]
    assert "does not fit" in reply["steps"][0]["detail"]
    assert reply["citations"]


def test_a_tool_that_says_no_is_told_to_the_model(filled: Api, llm: ScriptedLLM) -> None:
    llm.play(Turn(calls=[call("fail")]), Turn("I do not know."))
    (step,) = asked(filled)["steps"]
    assert (step["outcome"], step["detail"]) == ("failed", "the desk is closed")
    assert "the desk is closed" in llm.requests[-1]["messages"][-1]["content"]


def test_a_slow_tool_is_given_up_and_the_answer_says_so(
    filled: Api, llm: ScriptedLLM, desk: Desk
) -> None:
    llm.play(
        Turn(calls=[call("slow"), call("list_notes")]),
        Turn("The retriever listens on port 8080."),
    )
    reply = asked(filled)
    assert outcomes(reply) == [("slow", "error"), ("list_notes", "error")]
    assert "no answer within" in reply["steps"][0]["detail"]
    assert reply["retrieval"]["degraded"] == ["mcp-desk"]
    assert reply["grounding"]["supported"]
    assert desk.cancelled.wait(60)


def test_a_long_result_is_taken_apart_beside_the_event_loop(
    filled: Api, llm: ScriptedLLM, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, str] = {}
    real = ground._passages

    def noted(text: str, *more: Any) -> Any:
        threads[text] = threading.current_thread().name
        return real(text, *more)

    monkeypatch.setattr(ground, "_passages", noted)
    desk.notes["long"] = "The crane is closed on Friday. " + "Harbourmasters schedules. " * 600
    llm.play(Turn(calls=[call("read_note", name="long")]), Turn("The crane is closed on Friday."))
    reply = asked(filled)
    assert outcomes(reply) == [("read_note", "done")]
    assert reply["citations"][-1]["tool"] is not None
    (taken,) = (name for text, name in threads.items() if len(text) > 15_000)
    assert "(run)" not in taken  # as the server's own thread is called


def test_a_client_that_leaves_ends_the_call(filled: Api, llm: ScriptedLLM, desk: Desk) -> None:
    llm.play(Turn(calls=[call("stuck")]))
    body = {"messages": [{"role": "user", "content": QUESTION}], "rag": {"tools": True}}
    with asking(filled, "/v1/chat/completions", body):
        assert desk.entered.wait(60)
    assert desk.cancelled.wait(60)  # its own ten minutes were not waited for


def test_a_server_that_is_down_at_start_is_done_without_and_used_when_it_comes(
    settings: RetrieverSettings, llm: ScriptedLLM, desk: Desk, tmp_path: Path
) -> None:
    folder = tmp_path / "late"
    folder.mkdir()
    with desk_serving(desk, folder) as gone:
        servers = gone.listed()
        port = int(gone.url.rsplit(":", 1)[1])
    told = settings.model_dump() | {"tool_servers_file": servers}
    settings = RetrieverSettings.model_validate(told)
    with running(settings) as api:
        llm.play(Turn(calls=[call("list_notes")]), Turn("I do not know."))
        reply = asked(api)
        assert outcomes(reply) == [("list_notes", "error")]
        assert reply["retrieval"]["degraded"] == ["mcp-desk"]
        ready = api.until_ready(lambda one: one["status"] == "degraded")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["parts"]["mcp-desk"]["state"] == "down"
        with desk_serving(desk, folder, port):
            api.until_ready(lambda one: one["parts"]["mcp-desk"]["state"] == "up")
            llm.play(Turn(calls=[call("list_notes")]), Turn("I do not know."))
            assert outcomes(asked(api)) == [("list_notes", "done")]


class Silent:
    """A server that takes connections and speaks no MCP."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"jsonrpc": "2.0", "id": 1}'})


def test_a_server_that_speaks_no_mcp_is_done_without(
    settings: RetrieverSettings, llm: ScriptedLLM, office: Office
) -> None:
    wrong = Neighbour(Silent)
    wrong.start()
    listed = office.listed()
    listed.write_text(listed.read_text().replace(office.url, wrong.url))
    told = settings.model_dump() | {"tool_servers_file": listed}
    with running(RetrieverSettings.model_validate(told)) as api:
        llm.play(Turn(calls=[call("list_notes")]), Turn("I do not know."))
        (step,) = asked(api)["steps"]
    wrong.stop()
    assert step["outcome"] == "error"
    assert "127.0.0.1" not in step["detail"]


def test_every_tool_call_is_on_record_and_no_argument_or_result_is(
    settings: RetrieverSettings, llm: ScriptedLLM, desk: Desk
) -> None:
    with running(settings) as api:
        desk.notes["canary-name"] = "The canary-result sings."
        llm.play(
            Turn(calls=[call("read_note", name="canary-name"), ("canary__tool", "{}")]),
            Turn(calls=[call("read_note", name="canary-missing")]),
            Turn("The canary-answer."),
        )
        answered = asked(api)
        assert outcomes(answered) == [
            ("read_note", "done"),
            ("canary__tool", "refused"),
            ("read_note", "failed"),
        ]
    path = settings.data_dir / "audit.jsonl"
    head = read_head(path)
    assert head is not None
    with path.open("rb") as lines:
        verify(lines, head)
    assert "canary" not in path.read_text()
    told = [json.loads(line) for line in path.read_text().splitlines()]
    calls = [line for line in told if line["action"] == "tool.call"]
    assert [(line["tool"], line["decision"], line["error"]) for line in calls] == [
        ("desk/read_note", "allowed", None),
        ("unknown/unknown", "denied", "refused"),
        ("desk/read_note", "failed", "failed"),
    ]
    (chat,) = [line for line in told if line["action"] == "chat"]
    assert {(line["key_id"], line["tenant"]) for line in calls} == {("admin", "default")}
    assert {line["request_id"] for line in calls} == {chat["request_id"]}
    assert all(len(line["target"]) == 64 for line in calls if line["tool"] != "unknown/unknown")
