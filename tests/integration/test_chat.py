"""The way of a question over HTTP: cited, checked, streamed, cancelled, honest when it fails."""

import json
import time
from typing import Any

import httpx2
import openai
import pytest
from leaving import asking
from rig import KEY, PORTS, Api, Neighbour, running
from scripted_llm import ScriptedLLM

from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"


def events(reply: httpx2.Response) -> list[dict[str, Any]]:
    lines = [line for line in reply.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_an_answer_is_cited_with_the_documents_own_words(filled: Api, llm: ScriptedLLM) -> None:
    llm.say("The retriever listens on port 8080. It was built by Napoleon in 1812.")
    reply = filled.ask(QUESTION).json()
    content = reply["choices"][0]["message"]["content"]
    assert content == "The retriever listens on port 8080. [1] It was built by Napoleon in 1812."
    (citation,) = reply["citations"]
    text = filled.text(citation["document_id"])
    assert text[citation["start"] : citation["end"]] == citation["quote"]
    assert citation["quote"] == "The retriever listens on port 8080."
    assert (citation["marker"], citation["source"], citation["title"]) == ("1", "ports.md", "Ports")
    assert reply["grounding"]["unsupported"] == ["It was built by Napoleon in 1812."]
    assert not reply["grounding"]["supported"]
    assert reply["usage"]["prompt_tokens"] == 7
    assert {"embed", "search", "prompt", "first_token", "total"} <= reply["timings"].keys()
    assert citation["chunk_id"] in {hit["chunk_id"] for hit in reply["retrieval"]["results"]}


def test_a_stream_says_the_same_and_ends_with_citations(filled: Api, llm: ScriptedLLM) -> None:
    llm.say("The retriever listens [9] on port 8080.")
    whole = filled.ask(QUESTION).json()
    chunks = events(filled.ask(QUESTION, stream=True))
    words = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert "".join(words) == whole["choices"][0]["message"]["content"]
    assert "".join(words) == "The retriever listens on port 8080. [1]"
    last = chunks[-1]
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    for field in ("citations", "grounding", "usage"):
        assert last[field] == whole[field]
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_the_openai_client_chats_unchanged(filled: Api, llm: ScriptedLLM) -> None:
    llm.say("The retriever listens on port 8080.")
    async with openai.AsyncOpenAI(base_url=f"{filled.base_url}/v1/", api_key=KEY) as client:
        model = (await client.models.list()).data[0].id
        messages: Any = [{"role": "user", "content": QUESTION}]
        reply = await client.chat.completions.create(model=model, messages=messages)
        assert reply.choices[0].message.content == "The retriever listens on port 8080. [1]"
        assert reply.usage is not None and reply.usage.completion_tokens > 0
        assert (reply.model_extra or {})["citations"][0]["quote"] in PORTS
        stream = await client.chat.completions.create(model=model, messages=messages, stream=True)
        chunks = [chunk async for chunk in stream]
    words = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(words) == "The retriever listens on port 8080. [1]"
    assert (chunks[-1].model_extra or {})["grounding"]["supported"]


@pytest.mark.parametrize("stream", [False, True])
def test_with_nothing_relevant_the_model_is_not_asked(
    filled: Api, llm: ScriptedLLM, stream: bool
) -> None:
    reply = filled.ask("Zebra habitats of Namibia?", stream=stream)
    last = events(reply)[-1] if stream else reply.json()
    assert llm.requests == []
    assert last["grounding"] == {
        "supported": False,
        "unsupported": [],
        "abstained": True,
        "evaluator": "lexical-v2",
    }
    assert "could not find" in reply.text
    assert (last["citations"], last["usage"]["total_tokens"]) == ([], 0)


def test_an_empty_stack_says_that_it_found_nothing(api: Api, llm: ScriptedLLM) -> None:
    reply = api.ask(QUESTION).json()
    assert reply["grounding"]["abstained"]
    assert llm.requests == []


def test_the_conversation_and_the_parameters_reach_the_model(filled: Api, llm: ScriptedLLM) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "8080."},
        {"role": "user", "content": [{"type": "text", "text": "And the embedding service?"}]},
    ]
    filled.post(
        "/v1/chat/completions",
        json={
            "messages": messages,
            "temperature": 0.5,
            "seed": 7,
            "max_tokens": 20,
            "stop": "END",
        },
    ).raise_for_status()
    (asked,) = llm.requests
    assert [message["role"] for message in asked["messages"]] == [
        "system", "user", "assistant", "user",
    ]  # fmt: skip
    assert asked["messages"][0]["content"].endswith("\n\nBe brief.")
    assert asked["messages"][-1]["content"].endswith("Question: And the embedding service?")
    assert "8081" in asked["messages"][-1]["content"]  # found by the question before
    assert (asked["temperature"], asked["seed"]) == (0.5, 7)
    assert asked["stop"][-1] == "END"
    assert asked.get("max_tokens", asked.get("max_completion_tokens")) == 20


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_the_generation(
    filled: Api, llm: ScriptedLLM, stream: bool
) -> None:
    llm.words = ["The", " retriever", " listens.", " never said"]
    llm.hold = True
    body = {"messages": [{"role": "user", "content": QUESTION}], "stream": stream}
    with asking(filled, "/v1/chat/completions", body):
        assert llm.began.wait(60)
    assert llm.cancelled.wait(60)


@pytest.mark.parametrize("stream", [False, True])
def test_a_dead_model_server_is_503_by_name_and_search_goes_on(
    filled: Api, llm_server: Neighbour, stream: bool
) -> None:
    llm_server.stop()
    reply = filled.ask(QUESTION, stream=stream)
    assert reply.status_code == 503
    assert (reply.json()["error"]["type"], reply.json()["error"]["part"]) == ("unavailable", "llm")
    found = filled.post("/v1/search", json={"query": "retriever port"})
    assert found.json()["results"]
    ready = filled.until_ready(lambda one: one["parts"]["llm"]["state"] == "down")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["parts"]["llm"]["state"] == "down"
    llm_server.start()
    assert filled.ask(QUESTION).status_code == 200


def test_a_model_server_that_refuses_or_fails_is_told_apart(filled: Api, llm: ScriptedLLM) -> None:
    llm.status = 500
    assert filled.ask(QUESTION).status_code == 503
    llm.status = 400
    reply = filled.ask(QUESTION)
    assert (reply.status_code, reply.json()["error"]["type"]) == (422, "invalid_value")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"data: {not JSON\n\n",
        b"data: \xff\xfe\n\n",
        b"data: []\n\n",
        b'data: {"choices": 5}\n\n',
        b'data: {"choices": [5]}\n\n',
        b'data: {"choices": [{"index": 0, "delta": {"content": {"no": 7}}}]}\n\n',
        b'data: {"error": {"message": "out of memory"}}\n\n',
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_model_server_that_streams_nonsense_is_503_by_name(
    filled: Api, llm: ScriptedLLM, raw: bytes, stream: bool
) -> None:
    llm.raw = raw
    reply = filled.ask(QUESTION, stream=stream)
    assert (reply.status_code, reply.json()["error"]["part"]) == (503, "llm"), reply.text


def test_a_stream_that_breaks_says_so_in_the_stream(filled: Api, llm: ScriptedLLM) -> None:
    llm.words = ["The", " retriever", " listens"]
    llm.break_after = 2
    chunks = events(filled.ask(QUESTION, stream=True))
    assert chunks[-1]["error"]["part"] == "llm"
    assert chunks[-1]["error"]["request_id"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"messages": []}, 422),
        ({"messages": [{"role": "user", "content": "  "}]}, 422),
        ({"messages": [{"role": "assistant", "content": "Hello."}]}, 422),
        ({"messages": [{"role": "tool", "content": "x"}]}, 422),
        ({"messages": [{"role": "user", "content": "x" * 9000}]}, 422),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, 422),
        ({"messages": [{"role": "user", "content": "x"}], "temperature": 9}, 422),
        ({"messages": [{"role": "user", "content": "x"}], "rag": {"top_k": 0}}, 422),
        ({"messages": [{"role": "user", "content": "x"}], "rag": {"mode": "psychic"}}, 422),
        ({"messages": [{"role": "user", "content": "x"}], "rag": {"filters": {"a": {}}}}, 422),
    ],
)
def test_a_bad_request_is_a_clear_error(filled: Api, body: dict[str, Any], status: int) -> None:
    reply = filled.post("/v1/chat/completions", content=json.dumps(body).encode())
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert error["message"]
    assert error["request_id"] == reply.headers["X-Request-ID"]


def test_a_vote_needs_an_answer_that_was_given(filled: Api, llm: ScriptedLLM) -> None:
    llm.say("The retriever listens on port 8080.")
    answer_id = filled.ask(QUESTION).json()["id"]
    vote = {"response_id": answer_id, "vote": "up", "comment": "Right."}
    assert filled.post("/v1/feedback", json=vote).status_code == 201
    assert filled.post("/v1/feedback", json={**vote, "vote": "down"}).status_code == 201
    assert filled.post("/v1/feedback", json={**vote, "response_id": "x"}).status_code == 404
    assert filled.post("/v1/feedback", json={**vote, "vote": "sideways"}).status_code == 422


def test_a_model_that_loops_is_stopped(filled: Api, llm: ScriptedLLM) -> None:
    llm.words = ["The retriever listens on port 8080. "] * 50
    content = filled.ask(QUESTION).json()["choices"][0]["message"]["content"]
    assert content.count("8080") <= 3


def test_a_question_fits_the_models_context_or_is_refused(filled: Api, llm: ScriptedLLM) -> None:
    rules = {"role": "system", "content": "Be brief. " * 3000}
    messages = [rules, {"role": "user", "content": QUESTION}]
    reply = filled.post("/v1/chat/completions", json={"messages": messages})
    assert reply.status_code == 422
    assert "does not fit" in reply.json()["error"]["message"]


def test_beyond_its_places_a_chat_is_429_and_searches_go_on(
    settings: RetrieverSettings, llm: ScriptedLLM
) -> None:
    llm.hold = True
    with running(settings.model_copy(update={"concurrent_chats": 1})) as api:
        api.ingest({"text": PORTS, "source": "ports.md"})
        question = {"messages": [{"role": "user", "content": "Which port does it listen on?"}]}
        streamed = {**question, "stream": True}
        with api.stream("POST", "/v1/chat/completions", json=streamed) as held:
            assert held.status_code == 200
            for _ in range(2):
                refused = api.post("/v1/chat/completions", json=question)
                assert refused.status_code == 429
                assert refused.headers["Retry-After"] == "1"
                assert refused.json()["error"]["type"] == "rate_limited"
            assert api.post("/v1/search", json={"query": "port"}).status_code == 200
        assert llm.cancelled.wait(60)  # who held the place has left
        llm.hold = False
        deadline = time.monotonic() + 60
        while (reply := api.post("/v1/chat/completions", json=question)).status_code == 429:
            assert time.monotonic() < deadline
        assert reply.status_code == 200
