"""Model servers in order: the next answers where one does not, and never amid a stream."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import Request
from model_servers import ModelServer
from rig import PORTS, Api, Neighbour, running
from starlette.responses import JSONResponse, Response

from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"
ANSWER = "The retriever listens on port 8080."


class OneServer(ModelServer):
    """Answers with its model's name, or as it is told to fail."""

    def __init__(self, model: str, context: int = 4096, key: str = "") -> None:
        super().__init__(ANSWER, {"id": model, "meta": {"n_ctx": context}, "owned_by": "llamacpp"})
        self.status = 200
        self.breaks_after = 100
        self.key = key
        self.keys: list[str] = []

    def refusal(self, request: Request, body: dict[str, Any]) -> Response | None:
        self.keys.append(request.headers["authorization"])
        headers = {"retry-after": "7"} if self.status in (429, 503) else {}
        return None if self.status == 200 else JSONResponse({}, self.status, headers)

    def chunks(self, body: dict[str, Any], pieces: list[str]) -> list[dict[str, Any] | str]:
        said: list[dict[str, Any] | str] = [{"choices": [{"delta": {"role": "assistant"}}]}]
        said += [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
        if self.breaks_after < len(said):
            return [*said[: self.breaks_after], {"error": {"message": "out of memory"}}]
        return [*said, {"choices": [{"delta": {}, "finish_reason": "stop"}]}]


@contextmanager
def behind(
    settings: RetrieverSettings, folder: Path, *servers: OneServer
) -> Iterator[tuple[Api, list[Neighbour]]]:
    """The retriever with these model servers, in this order, each with a key of its own."""
    neighbours, told = [], []
    for n, server in enumerate(servers, 1):
        neighbour = Neighbour(lambda server=server: server.app)  # type: ignore[misc]
        neighbour.start()
        neighbours.append(neighbour)
        key = folder / f"llm-key-{n}"
        key.write_text(f"k-{n}")
        told.append({"url": f"{neighbour.url}/v1", "api_key_file": key})
    try:
        changed = RetrieverSettings.model_validate(settings.model_dump() | {"llm_url": told})
        with running(changed) as api:
            api.ingest({"text": PORTS, "source": "ports.md"})
            yield api, neighbours
    finally:
        for neighbour in neighbours:
            neighbour.stop()


def by(reply: Any) -> str:
    """Which model answered, rightly."""
    assert reply.status_code == 200, reply.text
    told = reply.json()
    assert told["choices"][0]["message"]["content"] == f"{ANSWER} [1]"
    model: str = told["model"]
    return model


def test_the_next_server_answers_with_its_own_key_and_its_name(
    settings: RetrieverSettings, tmp_path: Path
) -> None:
    first, second = OneServer("large"), OneServer("small")
    with behind(settings, tmp_path, first, second) as (api, _):
        assert by(api.ask(QUESTION)) == "large"
        for first.status in (500, 503, 429, 401):
            assert by(api.ask(QUESTION)) == "small"
            assert by(api.ask(QUESTION, model="large")) == "small"
            streamed = api.ask(QUESTION, stream=True).text
            assert '"model":"small"' in streamed and '"model":"large"' not in streamed
        assert set(first.keys) == {"Bearer k-1"} and set(second.keys) == {"Bearer k-2"}
        first.status = 400  # of the request's own fault the next would say the same
        assert api.ask(QUESTION, model="large").status_code == 422
        assert api.ask(QUESTION, model="none of theirs").status_code == 404
        listed = [model["id"] for model in api.get("/v1/models").json()["data"]]
        assert listed == ["large", "small"]
        first.status = second.status = 503
        assert api.ask(QUESTION).json()["error"]["part"] == "llm"


def test_nobody_takes_over_amid_a_stream(settings: RetrieverSettings, tmp_path: Path) -> None:
    first, second = OneServer("large"), OneServer("small")
    with behind(settings, tmp_path, first, second) as (api, _):
        first.breaks_after = 1  # the role, no word yet
        assert by(api.ask(QUESTION)) == "small"
        first.breaks_after = 4
        assert api.ask(QUESTION, model="large").json()["error"]["part"] == "llm"
        streamed = api.ask(QUESTION, model="large", stream=True).text
        assert '"error"' in streamed and len(second.requests) == 1


def test_a_dead_server_is_told_of_and_the_others_answer(
    settings: RetrieverSettings, tmp_path: Path
) -> None:
    with behind(settings, tmp_path, OneServer("large"), OneServer("small")) as (api, neighbours):
        neighbours[0].stop()
        assert by(api.ask(QUESTION)) == "small"
        told = api.until_ready(lambda told: told["parts"]["llm-1"]["state"] == "down").json()
        assert told["status"] == "degraded"
        assert told["parts"]["llm"] == {"state": "up", "detail": "llm-2 answers"}
        assert by(api.ask(QUESTION, model="large")) == "small"  # nobody can say that it is unknown
        neighbours[1].stop()
        told = api.until_ready(lambda told: told["parts"]["llm"]["state"] == "down").json()
        assert told["parts"]["llm"]["detail"] == "none of the model servers answers"
        assert api.ask(QUESTION).status_code == 503
        neighbours[0].start()
        assert by(api.ask(QUESTION)) == "large"  # one that rests is asked where no other can


def test_each_server_gets_a_prompt_that_fits_it(
    settings: RetrieverSettings, tmp_path: Path
) -> None:
    first, second = OneServer("large", context=32_000), OneServer("small", context=2_000)
    turns = [
        {"role": role, "content": f"{role} {n}: " + "words of no weight " * 20}
        for n in range(20)
        for role in ("user", "assistant")
    ]
    body = {"messages": [*turns, {"role": "user", "content": QUESTION}]}
    with behind(settings, tmp_path, first, second) as (api, _):
        assert api.post("/v1/chat/completions", json=body).json()["model"] == "large"
        first.status = 503
        assert api.post("/v1/chat/completions", json=body).json()["model"] == "small"
    large, small = (str(server.requests[-1]["messages"]) for server in (first, second))
    assert "user 0:" in large and "user 0:" not in small
    assert len(small.encode()) < 2_400 and QUESTION in small  # a byte a token, at most
    assert second.requests[-1]["max_tokens"] <= 1_000
