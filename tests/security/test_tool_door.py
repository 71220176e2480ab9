"""The door of every tool server: the HTTP attacks, slow clients, and callers who ask too much."""

import asyncio
import secrets
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from http_attacks import ATTACKS, Attack, check
from pydantic import BaseModel
from serving import free_port
from tool_http import ToolServer, exchange, message, modern, post, read, tool_serving

from bulkhead.auth import Principal, Role
from bulkhead.health import Part, Readiness
from bulkhead.mcp.app import create_tool_app
from bulkhead.mcp.settings import ToolServerSettings
from bulkhead.mcp.tools import AnyTool, Arguments, Tool, ToolError

SECRET = "hunter2 in /etc/secret"


class Words(Arguments):
    """What every tool here takes."""

    text: str = ""
    times: int = 1


class Said(BaseModel):
    """What every tool here gives."""

    text: str
    tenant: str


class Watched:
    """Tools that can be watched: one says, one waits, one refuses, one crashes."""

    def __init__(self) -> None:
        self.waiting = threading.Semaphore(0)
        self.cancelled = threading.Event()

    def tools(self) -> list[AnyTool]:
        """The tools, for a server."""
        return [
            Tool(name=run.__name__, title="", description="", arguments=Words, result=Said, run=run)
            for run in (self.say, self.wait, self.refuse, self.crash)
        ]

    async def say(self, principal: Principal, words: Words) -> Said:
        """Says it."""
        return Said(text=words.text * words.times, tenant=principal.tenant)

    async def wait(self, principal: Principal, words: Words) -> Said:
        """Waits until it is ended."""
        self.waiting.release()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError("unreachable")

    async def refuse(self, principal: Principal, words: Words) -> Said:
        """Refuses in words for the model."""
        raise ToolError("ask for less")

    async def crash(self, principal: Principal, words: Words) -> Said:
        """Breaks."""
        raise RuntimeError(SECRET)


@contextmanager
def running(folder: Path, watched: Watched, **settings: Any) -> Iterator[ToolServer]:
    """A server over the watched tools."""
    key = secrets.token_hex(32)
    (folder / "key").write_text(key)
    told = ToolServerSettings(port=free_port(), signing_key_file=folder / "key", **settings)

    async def ready() -> Readiness:
        return Readiness(status="ready", parts={"tools": Part(state="up")})

    app = create_tool_app(
        name="mcp-watched",
        title="Watched",
        version="1",
        instructions="",
        settings=told,
        tools=watched.tools(),
        ready=ready,
    )
    with tool_serving(app, told) as url:
        yield ToolServer(url, key.encode(), "mcp-watched", "say", {"text": "a"}, "times")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToolServer]:
    """One server for the whole table, without a limit on the rate."""
    folder = tmp_path_factory.mktemp("door")
    with running(folder, Watched(), requests_per_second=10_000, request_burst=10_000) as served:
        yield served


def using(server: ToolServer, tool: str) -> bytes:
    """The bytes of a call of another tool."""
    return post(server).sending(message("tools/call", {"name": tool})).wire()


def test_the_table_of_http_attacks_has_one_row_for_each() -> None:
    assert len({one.name for one in ATTACKS}) == len(ATTACKS) >= 50


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_over_http_comes_to_what_it_must(server: ToolServer, attack: Attack) -> None:
    check(server, attack)


def test_a_tools_own_words_reach_the_model_and_a_crash_does_not(server: ToolServer) -> None:
    assert b"ask for less" in exchange(server, using(server, "refuse")).body
    crashed = exchange(server, using(server, "crash"))
    assert crashed.outcome == "tool_error"
    assert crashed.headers["x-request-id"].encode() in crashed.body
    assert b"hunter2" not in crashed.body


def test_a_result_over_the_limit_is_refused_and_not_cut(server: ToolServer) -> None:
    large = message("tools/call", {"name": "say", "arguments": {"text": "a", "times": 300_000}})
    reply = exchange(server, post(server).sending(large).wire())
    assert reply.outcome == "tool_error"
    assert b"larger than 262144 bytes" in reply.body


def test_the_callers_tenant_reaches_the_tool(server: ToolServer) -> None:
    other = Principal("key-2", "other", frozenset({"staff"}), Role.WRITER)
    wire = post(server).having(authorization=f"Bearer {server.token(other)}").wire()
    assert rb"\"tenant\":\"other\"" in exchange(server, wire).body


def test_a_call_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    watched = Watched()
    with running(tmp_path, watched, call_seconds=0.2) as server:
        reply = exchange(server, using(server, "wait"))
        assert reply.outcome == "tool_error"
        assert b"longer than 0.2 s" in reply.body
        assert watched.cancelled.wait(60)


def test_a_client_that_leaves_ends_its_call(tmp_path: Path) -> None:
    watched = Watched()
    with running(tmp_path, watched) as server:
        place = urlsplit(server.url)
        with socket.create_connection((place.hostname, place.port or 0)) as line:
            line.sendall(using(server, "wait"))
            assert watched.waiting.acquire(timeout=60)
        assert watched.cancelled.wait(60)


def test_a_client_of_the_2026_protocol_that_leaves_ends_its_call(tmp_path: Path) -> None:
    watched = Watched()
    with running(tmp_path, watched) as server:
        place = urlsplit(server.url)
        request = modern(replace(server, tool="wait"))
        with socket.create_connection((place.hostname, place.port or 0)) as line:
            line.sendall(request.wire())
            assert watched.waiting.acquire(timeout=60)
        assert watched.cancelled.wait(60)


@pytest.mark.parametrize("slow", ["headers", "body"])
def test_a_request_that_drips_in_is_ended(tmp_path: Path, slow: str) -> None:
    with running(tmp_path, Watched(), head_timeout=3, body_timeout=3) as server:
        whole = post(server).wire()
        place = urlsplit(server.url)
        with socket.create_connection((place.hostname, place.port or 0), timeout=60) as line:
            line.sendall(whole[: 40 if slow == "headers" else -5])
            reply = read(line)
        assert (reply.status, reply.outcome) == (408, "request_timeout")
        assert exchange(server, whole).outcome == "result"


def test_a_connection_that_says_nothing_is_closed(tmp_path: Path) -> None:
    with running(tmp_path, Watched(), head_timeout=0.3) as server:
        assert exchange(server, b"").status == 408


def test_too_many_connections_are_told_so_and_silent_ones_give_way(tmp_path: Path) -> None:
    with running(tmp_path, Watched(), max_connections=5, head_timeout=1) as server:
        place = urlsplit(server.url)
        address = (place.hostname, place.port or 0)
        silent = [socket.create_connection(address) for _ in range(20)]
        assert exchange(server, post(server).wire()).status == 200
        for line in silent:
            assert read(line).status in (0, 408)  # it gave way, or its time was up
        asking = [socket.create_connection(address) for _ in range(5)]
        for line in asking:
            line.sendall(post(server).wire()[:-1])  # the head is here, the body is not
        while (refused := exchange(server, post(server).wire())).status != 503:
            assert refused.status == 200  # the server has not met all five
        for line in asking:
            line.close()


def test_a_caller_over_its_rate_is_told_when_to_come_back(tmp_path: Path) -> None:
    with running(tmp_path, Watched(), requests_per_second=0.5, request_burst=3) as server:
        replies = [exchange(server, post(server).wire()) for _ in range(4)]
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert replies[3].headers["retry-after"] == "2"
        assert replies[3].outcome == "rate_limited"
        other = server.token(Principal("key-2", "default", frozenset(), Role.READER))
        wire = post(server).having(authorization=f"Bearer {other}").wire()
        assert exchange(server, wire).status == 200


def test_a_caller_has_few_calls_at_once_and_another_is_not_held_up(tmp_path: Path) -> None:
    watched = Watched()
    with running(tmp_path, watched, concurrent_requests=2, call_seconds=600) as server:
        place = urlsplit(server.url)
        waits = [socket.create_connection((place.hostname, place.port or 0)) for _ in range(2)]
        for line in waits:
            line.sendall(using(server, "wait"))
        assert all(watched.waiting.acquire(timeout=60) for _ in waits)
        assert exchange(server, post(server).wire()).status == 429
        other = server.token(Principal("key-2", "default", frozenset(), Role.READER))
        wire = post(server).having(authorization=f"Bearer {other}").wire()
        assert exchange(server, wire).status == 200
        for line in waits:
            line.close()
        while exchange(server, post(server).wire()).status != 200:
            pass  # the server has not met that they left; pytest's timeout ends it


def test_a_thousand_calls_at_once_are_answered_or_told_to_wait(tmp_path: Path) -> None:
    with running(tmp_path, Watched(), max_connections=2000) as server, ThreadPoolExecutor(50) as p:
        wire = post(server).wire()
        statuses = {reply.status for reply in p.map(lambda _: exchange(server, wire), range(1000))}
        assert statuses <= {200, 429}
        assert 200 in statuses
