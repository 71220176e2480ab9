"""OpenAI's newer call, as its SDK makes it and reads what comes back."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel, TypeAdapter
from rig import KEY, Api
from scripted_llm import ScriptedLLM, Turn

QUESTION = "Which port does the retriever listen on?"
ANSWER = "The retriever listens on port 8080."
NOTHING = "What do zebras eat in Namibia?"


@pytest.fixture
def client(filled: Api, llm: ScriptedLLM) -> Iterator[openai.OpenAI]:
    llm.say(ANSWER)
    with openai.OpenAI(base_url=f"{filled.base_url}/v1/", api_key=KEY, max_retries=0) as client:
        yield client


def events(api: Api, **body: Any) -> list[dict[str, Any]]:
    reply = api.post("/v1/responses", json={"stream": True, **body}).raise_for_status()
    assert reply.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in reply.text.strip().split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def valid(response: dict[str, Any]) -> Response:
    """The response, checked against the SDK's own types, which its client does not do."""
    return TypeAdapter(Response).validate_python(response)


def test_the_sdk_asks_and_reads_words_usage_and_citations(
    filled: Api, client: openai.OpenAI
) -> None:
    reply = client.responses.create(model="", input=QUESTION, metadata={"a": "b"})
    assert reply.output_text == f"{ANSWER} [1]"
    assert (reply.status, reply.model, reply.metadata) == ("completed", "scripted", {"a": "b"})
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens > 0
    (item,) = reply.output
    assert item.type == "message" and item.content[0].type == "output_text"
    (annotation,) = item.content[0].annotations
    assert annotation.type == "file_citation"
    assert (annotation.filename, annotation.index) == ("ports.md", len(ANSWER) + 1)
    text = filled.text(annotation.file_id)
    told = annotation.model_extra or {}
    assert text[told["start"] : told["end"]] == told["quote"] == ANSWER
    assert (reply.model_extra or {})["grounding"]["supported"]
    assert (reply.model_extra or {})["citations"][0]["quote"] == ANSWER
    valid(reply.model_dump())


def test_the_sdks_stream_helper_comes_to_the_same_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model="", input=QUESTION) as stream:
        words = "".join(one.delta for one in stream if one.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert words == final.output_text == f"{ANSWER} [1]"
    assert (final.model_extra or {})["citations"][0]["quote"] == ANSWER


def test_the_events_are_openais_in_their_order_and_numbered(filled: Api, llm: ScriptedLLM) -> None:
    llm.say(ANSWER)
    came = events(filled, input=QUESTION)
    assert [event["sequence_number"] for event in came] == list(range(len(came)))
    kinds = [event["type"].removeprefix("response.") for event in came]
    words = kinds.count("output_text.delta")
    assert words >= 1
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * words,
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    by_kind = {event["type"]: event for event in came}
    first, last = valid(came[0]["response"]), valid(came[-1]["response"])
    assert (first.status, first.output, last.status) == ("in_progress", [], "completed")
    whole = by_kind["response.output_text.done"]["text"]
    assert "".join(e["delta"] for e in came if e["type"].endswith("text.delta")) == whole
    assert by_kind["response.output_item.done"]["item"] == came[-1]["response"]["output"][0]
    ids = {event["item_id"] for event in came if "item_id" in event}
    assert ids == {by_kind["response.output_item.added"]["item"]["id"]}


def test_instructions_turns_and_calls_of_before_reach_the_model(
    filled: Api, llm: ScriptedLLM
) -> None:
    llm.say(ANSWER)
    call = {"type": "function_call", "call_id": "c1", "name": "clock", "arguments": "{}"}
    items = [
        {"role": "user", "content": "Good morning."},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Good morning!", "annotations": []}],
        },
        {"type": "reasoning", "id": "rs_1", "summary": []},
        call,
        {"type": "function_call_output", "call_id": "c1", "output": "nine o'clock"},
        {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
    ]
    body = {"input": items, "instructions": "Answer in verse.", "max_output_tokens": 50}
    reply = filled.post("/v1/responses", json=body)
    assert reply.status_code == 200, reply.text
    sent = llm.requests[-1]
    system, *turns = sent["messages"]
    assert "Answer in verse." in system["content"]
    said = "\n".join(turn["content"] for turn in turns)
    for words in ("Good morning!", "Called clock with {}", "Result of clock: nine o'clock"):
        assert words in said
    assert QUESTION in turns[-1]["content"]
    assert sent.get("max_tokens", sent.get("max_completion_tokens")) == 50
    assert reply.json()["instructions"] == "Answer in verse."


class Port(BaseModel):
    """What the answer in JSON holds."""

    port: int
    told: str


def test_json_comes_as_json_and_what_was_not_found_as_a_refusal(
    filled: Api, client: openai.OpenAI, llm: ScriptedLLM
) -> None:
    llm.say(json.dumps({"port": 8080, "told": ANSWER}))
    reply = client.responses.parse(model="", input=QUESTION, text_format=Port)
    assert reply.output_parsed == Port(port=8080, told=ANSWER)
    wanted = llm.requests[-1]["response_format"]
    assert wanted["json_schema"]["name"] == "Port"
    assert wanted["json_schema"]["schema"]["properties"].keys() == {"port", "told"}
    item = reply.output[0]
    assert item.type == "message" and item.content[0].type == "output_text"
    assert item.content[0].annotations[0].type == "file_citation"

    refused = client.responses.parse(model="", input=NOTHING, text_format=Port)
    assert refused.output_parsed is None
    item = refused.output[0]
    assert item.type == "message" and item.content[0].type == "refusal"
    assert "could not find" in item.content[0].refusal
    came = events(filled, input=NOTHING, text={"format": {"type": "json_object"}})
    kinds = [event["type"].removeprefix("response.") for event in came]
    assert kinds[3:] == [
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    valid(came[-1]["response"])
    plain = client.responses.create(model="", input=NOTHING)
    assert "could not find" in plain.output_text


HARMLESS: list[dict[str, Any]] = [
    {"stream": None},
    {"tools": []},
    {"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}]},
    {"tools": [{"type": "web_search"}]},
    {"tool_choice": "auto"},
    {"tool_choice": "none"},
    {"parallel_tool_calls": True},
    {"reasoning": {"effort": "low", "summary": "auto"}},
    {"reasoning": None},
    {"text": {"format": {"type": "text"}, "verbosity": "low"}},
    {"text": None},
    {"metadata": None},
    {"store": True},
    {"store": False},
    {"include": ["reasoning.encrypted_content"]},
    {"include": []},
    {"previous_response_id": None},
    {"background": False},
    {"truncation": "auto"},
    {"truncation": "disabled"},
    {"top_logprobs": 0},
    {"service_tier": "auto"},
    {"prompt_cache_key": "k", "safety_identifier": "u", "user": "u"},
    {"max_output_tokens": 100, "temperature": 0, "top_p": 1, "max_tool_calls": 3},
    {"stream_options": {"include_obfuscation": False}},
    {"instructions": None},
    {"rag": {"mode": "sparse", "top_k": 1}},
]
REFUSED: list[tuple[dict[str, Any], int, str | None]] = [
    ({"previous_response_id": "resp_1"}, 400, "previous_response_id"),
    ({"conversation": "conv_1"}, 400, "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, 400, "prompt"),
    ({"background": True}, 400, "background"),
    ({"include": ["message.output_text.logprobs"]}, 400, "include"),
    ({"top_logprobs": 3}, 400, "top_logprobs"),
    ({"tool_choice": "required"}, 400, "tool_choice"),
    ({"tool_choice": {"type": "function", "name": "f"}}, 400, "tool_choice"),
    ({"text": {"format": {"type": "grammar"}}}, 400, "text.format"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, 400, "input"),
    ({"input": [{"type": "computer_call", "id": "x"}]}, 400, "input"),
    ({"input": [{"role": "wizard", "content": "a"}]}, 400, "input"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
        400,
        "input",
    ),
    ({"model": "gpt-4o"}, 404, "model"),
    ({"input": ""}, 422, None),
    ({"input": []}, 422, None),
    ({"input": [{"role": "user", "content": "a"}] * 2000}, 422, None),
    ({"input": [{"role": "assistant", "content": "a"}]}, 422, None),
    ({"input": None}, 422, None),
    ({"temperature": 9}, 422, None),
    ({"rag": {"mode": "psychic"}}, 422, None),
]


def test_harmless_values_are_accepted_and_the_others_named(filled: Api, llm: ScriptedLLM) -> None:
    llm.say(ANSWER)
    for fields in HARMLESS:
        reply = filled.post("/v1/responses", json={"input": QUESTION, **fields})
        assert reply.status_code == 200, (fields, reply.text)
        assert reply.json()["output"][0]["content"][0]["text"].startswith(ANSWER)
        assert "tools" not in llm.requests[-1]
    for fields, status, param in REFUSED:
        reply = filled.post("/v1/responses", json={"input": QUESTION, **fields})
        error = reply.json()["error"]
        assert (reply.status_code, error.get("param")) == (status, param), (fields, reply.text)
        assert "messages" not in error["message"]


def test_an_answer_that_is_cut_off_is_incomplete(filled: Api, llm: ScriptedLLM) -> None:
    llm.raw = (
        b'data: {"choices": [{"index": 0, "delta": {"content": "The retriever"},'
        b' "finish_reason": "length"}]}\n\ndata: [DONE]\n\n'
    )
    *_, last = events(filled, input=QUESTION)
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_what_fails_before_the_first_word_has_a_status_and_after_it_an_event(
    filled: Api, client: openai.OpenAI, llm: ScriptedLLM
) -> None:
    llm.break_after = 4
    *_, last = events(filled, input=QUESTION)
    assert last["type"] == "response.failed"
    error = last["response"]["error"]
    assert (error["code"], error["type"], error["part"]) == ("server_error", "unavailable", "llm")
    assert valid(last["response"]).status == "failed"
    llm.status = 500
    with pytest.raises(openai.InternalServerError) as refused:
        client.responses.create(model="", input=QUESTION, stream=True)
    assert refused.value.status_code == 503


def test_an_answer_may_be_voted_on_and_tools_leave_their_steps(
    filled: Api, llm: ScriptedLLM
) -> None:
    llm.play(Turn(calls=[("retriever__search_documents", '{"query": "port"}')]), Turn(ANSWER))
    came = events(filled, input=QUESTION, rag={"tools": True})
    response = came[-1]["response"]
    assert [step["tool"] for step in response["steps"]] == ["search_documents"]
    vote = {"response_id": response["id"], "vote": "up"}
    assert filled.post("/v1/feedback", json=vote).status_code == 201
