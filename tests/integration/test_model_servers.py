"""Behind us an Ollama, a LiteLLM, a server with a strict template: each is asked as it wants."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from model_servers import LiteLLM, ModelServer, Ollama, StrictTemplate
from rig import PORTS, Api, Neighbour, running

from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"
ANSWER = "The retriever listens on port 8080."
TURNS: list[dict[str, Any]] = [
    {"role": "assistant", "content": "Hello, what can I do for you?"},
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Good morning."},
    {"role": "user", "content": "Are you there?"},
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "clock"}}]},
    {"role": "tool", "tool_call_id": "c", "content": "nine o'clock"},
    {"role": "assistant", "content": ""},
    {"role": "developer", "content": "In English."},
    {"role": "user", "content": QUESTION},
]


@contextmanager
def behind(settings: RetrieverSettings, server: ModelServer, **more: Any) -> Iterator[Api]:
    """The retriever with this model server."""
    neighbour = Neighbour(lambda: server.app)
    neighbour.start()
    try:
        told = settings.model_dump() | {"llm_url": f"{neighbour.url}/v1"} | more
        with running(RetrieverSettings.model_validate(told)) as api:
            api.ingest({"text": PORTS, "source": "ports.md"})
            yield api
    finally:
        neighbour.stop()


def answered(api: Api, **fields: Any) -> dict[str, Any]:
    """The answer to a long conversation, which has to be the right one, whole and streamed."""
    body = {"messages": TURNS, **fields}
    reply = api.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    assert told["choices"][0]["message"]["content"] == f"{ANSWER} [1]"
    assert told["citations"][0]["quote"] == ANSWER
    streamed = api.post("/v1/chat/completions", json={**body, "stream": True}).text
    assert '"finish_reason":"stop"' in streamed and '"error"' not in streamed
    return told


def test_an_ollama_answers_by_its_chat_model_within_the_tokens_asked_for(
    settings: RetrieverSettings,
) -> None:
    server = Ollama(ANSWER)
    with behind(settings, server) as api:
        told = answered(api)
        assert (told["model"], told["usage"]["total_tokens"]) == ("llama3.2:latest", 0)
        cut = api.ask(QUESTION, max_tokens=2).json()["choices"][0]
        assert cut["finish_reason"] == "length"
        assert server.requests[-1]["max_tokens"] == 2
        error = api.ask(QUESTION, model="gpt-4o")
        assert (error.status_code, error.json()["error"]["code"]) == (404, "model_not_found")
        listed = [model["id"] for model in api.get("/v1/models").json()["data"]]
        assert listed == ["nomic-embed-text:latest", "llama3.2:latest"]
        gone = server.models[1]["id"]
        server.models = server.models[:1]  # a person removed it meanwhile
        error = api.ask(QUESTION, model=gone)
        assert error.status_code == 503
        server.models = []
        assert api.get("/v1/models").json()["error"]["message"].endswith("no model loaded")


def test_a_litellm_answers_by_its_own_names_with_its_own_key(
    settings: RetrieverSettings,
) -> None:
    server = LiteLLM(ANSWER)
    key = settings.data_dir.parent / "gateway-key"
    key.write_text(server.key)
    with behind(settings, server, llm_api_key_file=key) as api:
        told = answered(api)
        assert (told["model"], told["usage"]["total_tokens"]) == ("team/gpt", 18)
        assert server.requests[-1]["max_completion_tokens"] == settings.max_answer_tokens
        server.breaks = True
        streamed = api.ask(QUESTION, stream=True).text
        assert '"part":"llm"' in streamed and "litellm" not in streamed
        server.breaks, server.key = False, "sk-another"
        refused = api.ask(QUESTION)
        assert refused.status_code == 503
        assert refused.json()["error"]["message"] == "the model server answered 401"


def test_a_strict_template_gets_one_system_message_and_turns_that_alternate(
    settings: RetrieverSettings,
) -> None:
    server = StrictTemplate(ANSWER)
    with behind(settings, server, context_tokens=64_000) as api:
        told = answered(api, tools=[{"type": "function", "function": {"name": "f"}}])
        assert (told["model"], told["usage"]["total_tokens"]) == ("strict", 0)
        roles = [message["role"] for message in server.requests[-1]["messages"]]
        assert roles == ["system", *["user", "assistant"] * (len(roles) // 2 - 1), "user"]
        said = str(server.requests[-1]["messages"])
        for words in ("Hello, what can I do", "Be brief.", "Good morning.", "nine o'clock"):
            assert words in said
        refused = api.ask(QUESTION, rag={"tools": True})  # a tool needs what it does not have
        assert refused.status_code == 422
        assert refused.json()["error"]["message"].endswith(": tools are not supported")


def test_a_list_that_is_none_is_503_and_not_a_failure_of_ours(settings: RetrieverSettings) -> None:
    server = StrictTemplate(ANSWER)
    lists: list[Any] = ["nothing", [{"name": "x"}], [7]]
    server.models = []
    with behind(settings, server) as api:
        for server.models in lists:
            reply = api.ask(QUESTION)
            assert (reply.status_code, reply.json()["error"]["part"]) == (503, "llm")
            assert "cannot be read" in reply.json()["error"]["message"]
