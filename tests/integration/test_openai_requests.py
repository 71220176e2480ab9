"""What OpenAI's clients send, and how they read what comes back."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from fastapi import FastAPI
from people import people
from pydantic import BaseModel
from rig import KEY, PORTS, Api, Neighbour, running
from scripted_llm import ScriptedLLM

from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"
ANSWER = "The retriever listens on port 8080."
ASKED: Any = [{"role": "user", "content": QUESTION}]


@pytest.fixture
def client(filled: Api, llm: ScriptedLLM) -> Iterator[openai.OpenAI]:
    llm.say(ANSWER)
    with openai.OpenAI(base_url=f"{filled.base_url}/v1/", api_key=KEY, max_retries=0) as client:
        yield client


def chunks(api: Api, **fields: Any) -> list[dict[str, Any]]:
    reply = api.post(
        "/v1/chat/completions", json={"messages": ASKED, "stream": True, **fields}
    ).raise_for_status()
    lines = [line for line in reply.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_the_plain_loop_over_a_stream_runs_to_its_end(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="", messages=ASKED, stream=True)
    words = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert words == f"{ANSWER} [1]"


def test_every_chunk_has_what_openais_schema_requires(filled: Api, llm: ScriptedLLM) -> None:
    llm.say(ANSWER)
    for options in ({}, {"stream_options": {"include_usage": True}}):
        came = chunks(filled, **options)
        for chunk in came:
            assert chunk["object"] == "chat.completion.chunk"
            assert {"id", "created", "model", "choices"} <= chunk.keys()
            for choice in chunk["choices"]:
                assert {"index", "delta", "finish_reason"} <= choice.keys()
        reasons = [choice["finish_reason"] for chunk in came for choice in chunk["choices"]]
        assert reasons == [None] * (len(reasons) - 1) + ["stop"]


def test_usage_comes_on_a_chunk_without_choices_only_when_it_is_asked_for(
    filled: Api, llm: ScriptedLLM
) -> None:
    llm.say(ANSWER)
    plain = chunks(filled)
    assert all(chunk["choices"] for chunk in plain)
    assert plain[-1]["usage"]["total_tokens"] > 0
    *others, last = chunks(filled, stream_options={"include_usage": True})
    assert (last["choices"], last["usage"]) == ([], plain[-1]["usage"])
    assert all(chunk["choices"] and "usage" not in chunk for chunk in others)
    assert others[-1]["citations"][0]["quote"] == ANSWER


HARMLESS: dict[str, list[Any]] = {
    "response_format": [{"type": "text"}, None],
    "logprobs": [False, None],
    "top_logprobs": [0, None],
    "tools": [[], None],
    "tool_choice": ["none", "auto", None],
    "functions": [[], None],
    "function_call": ["none", None],
    "parallel_tool_calls": [True, False, None],
    "logit_bias": [{}, None],
    "n": [1, None],
    "stream": [None, False],
    "stream_options": [None],
    "stop": [None, []],
    "service_tier": ["auto", None],
    "reasoning_effort": ["low", None],
    "store": [True, None],
    "metadata": [{"a": "b"}, {}, None],
    "prompt_cache_key": ["k"],
    "safety_identifier": ["u"],
    "verbosity": ["low"],
    "user": ["u", None],
    "modalities": [["text"], None],
    "temperature": [0, 2, None],
    "top_p": [0, 1, None],
    "seed": [7, None],
    "max_tokens": [1, 0, -1, 10**9, None],
    "max_completion_tokens": [50, -1, None],
    "top_k": [40],
    "min_p": [0.05],
    "repetition_penalty": [1.1],
    "chat_template_kwargs": [{"enable_thinking": False}],
    "chat_id": ["of some client"],
}


def test_a_field_at_a_harmless_value_is_accepted(filled: Api, llm: ScriptedLLM) -> None:
    llm.say(ANSWER)
    for field, values in HARMLESS.items():
        for value in values:
            reply = filled.ask(QUESTION, **{field: value})
            assert reply.status_code == 200, (field, value, reply.text)
            content = reply.json()["choices"][0]["message"]["content"]
            assert content == f"{ANSWER} [1]", (field, value)


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


REFUSED: list[tuple[str, object]] = [
    ("n", 2),
    ("n", 0),
    ("logprobs", True),
    ("top_logprobs", 5),
    ("tool_choice", "required"),
    ("tool_choice", {"type": "function", "function": {"name": "f"}}),
    ("function_call", {"name": "f"}),
    ("modalities", ["text", "audio"]),
    ("audio", {"voice": "alloy", "format": "mp3"}),
    ("web_search_options", {}),
    ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
]


def test_what_would_change_the_answer_is_400_in_openais_words(client: openai.OpenAI) -> None:
    for field, value in REFUSED:
        body: Any = {"model": "", "messages": ASKED, field: value}
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(**body)
        error = refused.value
        assert (error.param, error.code) == (field, "unsupported_value"), (field, value)
        assert error.type == "invalid_request_error"


def test_an_answer_in_json_stays_json_and_is_cited(client: openai.OpenAI, llm: ScriptedLLM) -> None:
    told = {"answer": ANSWER, "again": [ANSWER, ANSWER], "ports": [8080, 8081], "n": [1]}
    llm.say(json.dumps(told, indent=1))
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    for wanted in (schema, {"type": "json_object"}):
        body: Any = {"model": "", "messages": ASKED, "response_format": wanted}
        reply = client.chat.completions.create(**body)
        assert json.loads(reply.choices[0].message.content or "") == told
        assert (reply.model_extra or {})["citations"][0]["quote"] == ANSWER
        assert llm.requests[-1]["response_format"] == wanted
        chunks = client.chat.completions.create(**body, stream=True)
        words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert json.loads(words) == told


class Port(BaseModel):
    """What an answer in JSON holds."""

    port: int


def test_where_json_is_asked_for_and_nothing_found_the_message_refuses(
    filled: Api, client: openai.OpenAI, llm: ScriptedLLM
) -> None:
    """Words in place of JSON would end every client that parses them in an error."""
    asked: Any = [{"role": "user", "content": "What do zebras eat in Namibia?"}]
    parsed = client.chat.completions.parse(model="", messages=asked, response_format=Port)
    message = parsed.choices[0].message
    assert (message.parsed, message.content) == (None, None)
    assert "could not find" in (message.refusal or "")
    assert not llm.requests
    with client.chat.completions.stream(model="", messages=asked, response_format=Port) as stream:
        final = stream.get_final_completion().choices[0].message
    assert (final.parsed, final.refusal) == (None, message.refusal)
    for fields in ({}, {"response_format": {"type": "text"}}):
        reply = filled.post("/v1/chat/completions", json={"messages": asked, **fields}).json()
        said = reply["choices"][0]["message"]
        assert (said["content"], said["refusal"]) == (message.refusal, None)


def test_tools_of_the_caller_are_never_called(client: openai.OpenAI, llm: ScriptedLLM) -> None:
    body: Any = {"model": "", "messages": ASKED, "tools": [TOOL], "tool_choice": "auto"}
    reply = client.chat.completions.create(**body)
    assert reply.choices[0].finish_reason == "stop"
    assert reply.choices[0].message.content == f"{ANSWER} [1]"
    assert "tools" not in llm.requests[-1]


def test_an_answer_takes_at_most_half_of_what_the_model_holds(
    filled: Api, llm: ScriptedLLM, settings: RetrieverSettings
) -> None:
    default = settings.max_answer_tokens
    for asked, got in ((20, 20), (10**6, 2048), (0, 2048), (-1, 2048), (None, default)):
        filled.ask(QUESTION, max_tokens=asked)
        sent = llm.requests[-1]
        assert sent.get("max_tokens", sent.get("max_completion_tokens")) == got


WHOLE: dict[str, dict[str, Any]] = {
    "Open WebUI": {
        "stream": True,
        "model": "scripted",
        "messages": [
            {"role": "system", "content": "User Context:\n\nToday is Monday."},
            {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
        ],
        "stream_options": {"include_usage": True},
        "temperature": 0.8,
        "max_tokens": 128,
        "top_k": 40,
        "top_p": 0.9,
        "frequency_penalty": 0,
        "stop": ["<|end|>"],
    },
    "LibreChat": {
        "model": "scripted",
        "user": "66f0c0ffee",
        "stream": True,
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello! How can I assist you today?"},
            {"role": "user", "content": QUESTION},
        ],
        "temperature": 1,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "stream_options": {"include_usage": True},
        "stop": ["||>", "\nUser:"],
    },
    "AnythingLLM": {
        "model": "scripted",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Given the following conversation, reply."},
            {"role": "user", "content": QUESTION},
        ],
        "temperature": 0.7,
        "max_tokens": 1024,
    },
    "Continue": {
        "model": "scripted",
        "messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}],
        "max_tokens": 4096,
        "stream": True,
        "tools": [{"type": "function", "function": {"name": "read_file", "parameters": {}}}],
        "parallel_tool_calls": False,
        "prediction": None,
    },
    "an agent's second turn": {
        "model": "scripted",
        "stream": True,
        "messages": [
            {"role": "developer", "content": "Use tools."},
            {"role": "user", "content": QUESTION},
            {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "audio": None,
                "annotations": [],
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "now", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "9"}]},
        ],
        "tools": [TOOL],
        "tool_choice": "auto",
        "n": 1,
        "store": False,
        "reasoning_effort": "medium",
        "response_format": {"type": "text"},
    },
}


def test_whole_requests_of_chat_programs_and_agents_are_answered(
    filled: Api, llm: ScriptedLLM
) -> None:
    llm.say(ANSWER)
    for program, body in WHOLE.items():
        reply = filled.post(
            "/v1/chat/completions", json=body, headers={"Accept": "text/event-stream"}
        )
        assert reply.status_code == 200, (program, reply.text)
        told = [json.loads(line[6:]) for line in reply.text.split("\n\n") if line[6:7] == "{"]
        words = "".join(
            choice["delta"].get("content") or "" for one in told for choice in one["choices"]
        )
        assert words == f"{ANSWER} [1]", program
        asked = bool(body.get("stream_options"))
        assert (told[-1]["choices"] == []) == asked, program


class Several:
    """A model server that lists several models, one of which embeds."""

    def __init__(self, llm: ScriptedLLM, owner: str) -> None:
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(llm.chat)
        names = ("nomic-embed-text:latest", "org/small", "large")
        data = [{"id": name, "object": "model", "owned_by": owner} for name in names]
        self.app.get("/v1/models")(lambda: {"object": "list", "data": data})


def several(
    settings: RetrieverSettings, llm: ScriptedLLM, owner: str = "library", **more: Any
) -> Iterator[Api]:
    llm.say(ANSWER)
    neighbour = Neighbour(lambda: Several(llm, owner).app)
    neighbour.start()
    try:
        url = neighbour.url + "/v1"
        changed = RetrieverSettings.model_validate(settings.model_dump() | {"llm_url": url} | more)
        with running(changed) as api:
            api.ingest({"text": PORTS, "source": "ports.md"})
            yield api
    finally:
        neighbour.stop()


def test_vllm_is_given_a_salt_for_each_tenant_and_no_other_server_is(
    settings: RetrieverSettings, llm: ScriptedLLM
) -> None:
    salts = []
    for owner in ("vllm", "llamacpp"):
        for api in several(settings, llm, owner):
            with people(api) as team:
                api.ask(QUESTION, top_p=0.9)
                salts.append(llm.requests[-1].get("cache_salt"))
                for tenant in ("acme", "acme", "other"):
                    writer = team.join(tenant, "writer")
                    writer.ingest({"text": PORTS, "source": "ports.md"})
                    writer.ask(QUESTION)
                    salts.append(llm.requests[-1].get("cache_salt"))
    operator, acme, again, other, *llamacpp = salts
    assert acme == again and len({operator, acme, other}) == 3
    assert all(len(str(salt)) == 64 for salt in (operator, acme, other))
    assert llamacpp == [None] * 4


def test_the_model_that_is_named_answers_and_an_unknown_one_is_404(
    settings: RetrieverSettings, llm: ScriptedLLM
) -> None:
    for api in several(settings, llm):
        for asked, got in ((None, "org/small"), ("", "org/small"), ("large", "large")):
            reply = api.ask(QUESTION, model=asked)
            assert (reply.json()["model"], llm.requests[-1]["model"]) == (got, got)
        reply = api.ask(QUESTION, model="gpt-4o")
        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (404, "model_not_found")
        assert (error["param"], error["type"]) == ("model", "invalid_request_error")
        found = api.get("/v1/models/org/small").json()
        assert (found["id"], found["object"]) == ("org/small", "model")
        assert api.get("/v1/models/nobody").json()["error"]["code"] == "model_not_found"


def test_settings_name_the_default_model_and_what_other_names_stand_for(
    settings: RetrieverSettings, llm: ScriptedLLM
) -> None:
    aliases = {"gpt-4o": "org/small", "gpt-4": "gone", "*": "large"}
    for api in several(settings, llm, llm_model="large", llm_model_aliases=aliases):
        for asked, got in (
            (None, "large"),
            ("org/small", "org/small"),
            ("gpt-4o", "org/small"),
            ("gpt-4", "large"),
            ("anything", "large"),
        ):
            assert api.ask(QUESTION, model=asked).json()["model"] == got


@pytest.mark.parametrize(("owner", "passed"), [("vllm", True), ("llamacpp", True), ("x", False)])
def test_servers_own_parameters_go_to_those_that_know_them(
    settings: RetrieverSettings, llm: ScriptedLLM, owner: str, passed: bool
) -> None:
    more = {"top_k": 40, "min_p": 0.1, "chat_template_kwargs": {"enable_thinking": False}}
    for api in several(settings, llm, owner):
        assert api.ask(QUESTION, **more, logit_bias={"5": 1}).status_code == 200
    sent = llm.requests[-1]
    assert {name: sent.get(name) for name in more} == (more if passed else dict.fromkeys(more))
    assert sent["logit_bias"] == {"5": 1}


def test_a_key_comes_as_clients_send_it_and_once(api: Api) -> None:
    def status(*headers: tuple[str, str]) -> int:
        return httpx2.get(f"{api.base_url}/v1/models", headers=headers, timeout=60).status_code

    for name, value in (
        ("Authorization", f"Bearer {KEY}"),
        ("authorization", f"bearer {KEY}"),
        ("AUTHORIZATION", f"BEARER {KEY}"),
        ("api-key", KEY),
    ):
        assert status((name, value)) == 200
    bearer = ("Authorization", f"Bearer {KEY}")
    assert status(("api-key", "wrong")) == 401
    assert status(("api-key", "")) == 401
    assert status(("api-key", KEY), ("api-key", KEY)) == 401
    assert status(("api-key", KEY), bearer) == 401


def test_pages_of_other_origins_may_call_only_where_a_setting_says_so(
    settings: RetrieverSettings, api: Api
) -> None:
    asks = {"Origin": "https://chat.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in api.options("/v1/search", headers=asks).headers
    changed = settings.model_copy(
        update={"cors_origins": "https://chat.example", "data_dir": settings.data_dir / "other"}
    )
    with running(changed) as open_api:
        allowed = open_api.options("/v1/search", headers=asks)
        assert allowed.headers["access-control-allow-origin"] == "https://chat.example"
        other = open_api.options("/v1/search", headers={**asks, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        got = open_api.get("/v1/models", headers={"Origin": "https://chat.example"})
        assert got.headers["access-control-allow-origin"] == "https://chat.example"
