"""One key asks for all there is: whoever else comes is served all the same."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from people import People, people
from rig import PORTS, Api, running
from scripted_llm import ScriptedLLM

from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"
SEARCH = {"query": QUESTION}
CHAT = {"messages": [{"role": "user", "content": QUESTION}]}
UPLOAD = {"documents": [{"text": "The ferry leaves at nine."}]}
PATHS = {"searches": "/v1/search", "chats": "/v1/chat/completions", "uploads": "/v1/documents"}
BODIES: dict[str, Any] = {"searches": SEARCH, "chats": CHAT, "uploads": UPLOAD}
PLACES = {"concurrent_searches": 12, "concurrent_chats": 12, "concurrent_uploads": 12}


@pytest.fixture
def settings(settings: RetrieverSettings) -> RetrieverSettings:
    return settings.model_copy(update=PLACES)


@pytest.fixture
def team(api: Api) -> Iterator[People]:
    with people(api) as team:
        yield team


def half_sent(api: Api, path: str, times: int) -> contextlib.ExitStack:
    """So many requests of which one byte of the body came, and then nothing; until it is closed."""
    host = urlsplit(str(api.base_url))
    key = api.headers["authorization"]
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host.netloc}\r\nAuthorization: {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 200\r\n\r\n{"
    )
    opened = contextlib.ExitStack()
    for _ in range(times):
        one = opened.enter_context(socket.create_connection((host.hostname, host.port or 80)))
        one.sendall(head.encode())
    return opened


@pytest.mark.parametrize(("kind", "times"), [("searches", 64), ("chats", 256)])
def test_requests_whose_body_never_comes_hold_no_place(
    api: Api, team: People, llm: ScriptedLLM, kind: str, times: int
) -> None:
    greedy, other = team.join("acme", "reader"), team.join("other", "reader")
    with half_sent(greedy, PATHS[kind], times):
        api.get("/healthz")  # by now the server has met them all
        for person in (other, greedy):
            reply = person.post(PATHS[kind], json=BODIES[kind])
            assert reply.status_code == 200, reply.text


def test_uploads_that_never_come_to_an_end_hold_their_own_keys_share(
    api: Api, team: People
) -> None:
    greedy, other = team.join("acme", "writer"), team.join("other", "writer")
    path = PATHS["uploads"]
    with half_sent(greedy, path, 24):
        api.get("/healthz")
        refused = greedy.post(path, json=UPLOAD)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert other.post(path, json=UPLOAD).status_code == 202
        assert greedy.get(path).status_code == 200  # what only reads needs no place


def test_a_key_that_asks_for_all_answers_gets_half_and_another_tenant_is_served(
    settings: RetrieverSettings, llm: ScriptedLLM
) -> None:
    with running(settings) as api, people(api) as team:
        api.ingest({"text": PORTS, "source": "ports.md"})
        greedy, other = team.join("default", "reader"), team.join("default", "reader")
        llm.hold = True
        with contextlib.ExitStack() as streams:
            statuses = [
                streams.enter_context(
                    greedy.stream("POST", PATHS["chats"], json={**CHAT, "stream": True})
                ).status_code
                for _ in range(12)
            ]
            assert statuses == [200] * 6 + [429] * 6
            llm.hold = False
            assert other.post(PATHS["chats"], json=CHAT).status_code == 200
            assert greedy.post(PATHS["searches"], json=SEARCH).status_code == 200
