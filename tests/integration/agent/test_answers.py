"""Answers with tools: what the model is offered, every step told, every result cited."""

import json
import threading
from typing import Any

import openai
import pytest
from desk import Desk
from desk_questions import QUESTION, asked, call, outcomes
from rig import KEY, PORTS, Api
from scripted_llm import ScriptedLLM, Turn

from retriever.answer import ground
from retriever.branding.branding import packaged


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
