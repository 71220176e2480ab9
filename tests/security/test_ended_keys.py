"""A key that was revoked or rotated: nothing of what it has under way goes on."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from people import People, people
from rig import Api, Neighbour
from scripted_llm import ScriptedLLM, Turn

import retriever.api.jobs

QUESTION = "Which port does the retriever listen on?"
CHAT = {"messages": [{"role": "user", "content": QUESTION}]}

End = Callable[[Api, str], httpx2.Response]
ENDS: dict[str, End] = {
    "revoked": lambda api, key_id: api.delete(f"/v1/keys/{key_id}"),
    "rotated": lambda api, key_id: api.post(f"/v1/keys/{key_id}/rotate"),
}


@pytest.fixture
def team(api: Api) -> Iterator[People]:
    with people(api) as team:
        yield team


def last_event(lines: Iterator[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads([one for one in lines if one][-1].removeprefix("data: "))
    return told


def test_an_open_job_stream_ends(
    api: Api,
    team: People,
    embedding_server: Neighbour,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retriever.api.jobs, "_HEARTBEAT_SECONDS", 0.05)
    embedding_server.stop()  # so that the job does not come to its end
    for end in ENDS.values():
        made = team.made("acme", "writer")
        writer = team.client(made["key"])
        job = writer.post("/v1/documents", json={"documents": [{"text": "x"}]}).json()
        with writer.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
            lines = events.iter_lines()
            assert next(lines) == "event: job"
            end(api, made["id"])
            assert last_event(lines)["error"]["type"] == "unauthenticated"
    embedding_server.start()


def test_an_answer_on_its_way_ends_and_so_does_the_model(
    filled: Api, team: People, llm: ScriptedLLM
) -> None:
    llm.words, llm.pause = [f"word{n} " for n in range(1000)], 0.02
    for end in ENDS.values():
        made = team.made("default", "reader")
        reader = team.client(made["key"])
        with reader.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as stream:
            lines = stream.iter_lines()
            next(lines)
            end(filled, made["id"])
            rest = list(lines)
        assert last_event(iter(rest))["error"]["type"] == "unauthenticated"
        assert not any("word999" in line or "[DONE]" in line for line in rest)
        assert llm.cancelled.wait(60)
        llm.cancelled.clear()


ASK = {"name": "ask", "arguments": {"question": QUESTION}}
ANSWERS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", CHAT),
    ("/v1/responses", {"input": QUESTION}),
    ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": ASK}),
]
ACCEPT = {"Accept": "application/json, text/event-stream"}


def test_an_answer_that_is_ready_too_late_is_not_given(
    filled: Api, team: People, llm: ScriptedLLM
) -> None:
    for path, body in ANSWERS:
        asked, ended = threading.Event(), threading.Event()

        def answer(
            _: dict[str, Any], asked: threading.Event = asked, ended: threading.Event = ended
        ) -> Turn:
            asked.set()
            ended.wait(60)
            return Turn("The retriever listens on port 8080.")

        llm.script = answer
        made = team.made("default", "reader")
        with ThreadPoolExecutor(1) as other:
            reader = team.client(made["key"])
            asking = other.submit(reader.post, path, json=body, headers=ACCEPT)
            assert asked.wait(60)
            ENDS["revoked"](filled, made["id"])
            ended.set()
            reply = asking.result()
        assert (reply.status_code, reply.json()["error"]["type"]) == (401, "unauthenticated"), path


LATE: list[tuple[str, dict[str, Any]]] = [
    ("/v1/search", {"query": QUESTION}),
    *ANSWERS,
    ("/v1/embeddings", {"input": QUESTION}),
    ("/v1/documents", {"documents": [{"text": "x", "source": "late.txt"}]}),
    ("/v1/keys", {"tenant": "acme", "role": "admin"}),
]


def test_a_request_whose_body_ends_after_its_key_does_nothing(api: Api, team: People) -> None:
    host = urlsplit(str(api.base_url))
    made = [team.made("acme", "admin") for _ in range(len(ENDS) * len(LATE))]
    for key, (end, (path, body)) in zip(made, product(ENDS.values(), LATE), strict=True):
        content = json.dumps(body).encode()
        with socket.create_connection((host.hostname, host.port or 80), 20) as one:
            one.sendall(
                f"POST {path} HTTP/1.1\r\nHost: {host.netloc}\r\n"
                f"Authorization: Bearer {key['key']}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
                "Expect: 100-continue\r\nConnection: close\r\n\r\n".encode()
            )
            assert b" 100 " in one.recv(1000)  # who asks is known, and the body is awaited
            end(api, key["id"])
            one.sendall(content)
            reply = b"".join(iter(partial(one.recv, 10_000), b""))
        assert reply.startswith(b"HTTP/1.1 401"), reply
    assert [key["id"] for key in api.get("/v1/keys").json()["data"]] == [one["id"] for one in made]
    assert team.join("acme", "admin").get("/v1/jobs").json()["data"] == []


def test_who_turns_its_own_key_is_told_the_new_one(team: People) -> None:
    made = team.made("acme", "admin")
    turned = team.client(made["key"]).post(f"/v1/keys/{made['id']}/rotate").json()
    assert team.client(turned["key"]).get("/v1/documents").status_code == 200
