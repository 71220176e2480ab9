"""The relay before several of one service, which come and go."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from serving import free_port

from ingress import far_ends
from ingress.relay import Relay, Route

READY, GOING = b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 Service Unavailable\r\n\r\n"


class Replica:
    """One of the service's processes: it answers each request with its own address."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.health = READY
        self.held = asyncio.Event()
        self.held.set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /readyz "):
            writer.write(self.health)
        else:
            writer.write(self.host.encode())
            await writer.drain()
            await self.held.wait()
            writer.write(b" end")
        writer.close()


class Fleet:
    def __init__(self, size: int, port: int) -> None:
        self.replicas = [Replica(f"127.0.0.{n + 2}", port) for n in range(size)]
        self.named = list(self.replicas)
        """Whom the service's name leads to."""
        self.relay = Relay(Route(0, "retriever", port, "/readyz"), 64)
        self.port = 0
        self.clients: list[asyncio.StreamWriter] = []

    async def look(self) -> None:
        await self.relay.far_ends.look()

    async def ask(self) -> str:
        """Who answers a request that ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(-1), 60)
        writer.close()
        return answer.decode()

    async def begin(self) -> tuple[asyncio.StreamReader, str]:
        """A stream that goes on, and who sends it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        self.clients.append(writer)
        return reader, (await asyncio.wait_for(reader.readexactly(9), 60)).decode()


@asynccontextmanager
async def fleet(size: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    all_of_it = Fleet(size, free_port())
    loop = asyncio.get_running_loop()

    real: Any = loop.getaddrinfo

    async def found(host: str, port: int, **how: Any) -> Any:
        if host != "retriever":
            return await real(host, port, **how)
        if not all_of_it.named:
            raise socket.gaierror("no such name")
        return [(2, 1, 6, "", (one.host, port)) for one in all_of_it.named]

    monkeypatch.setattr(loop, "getaddrinfo", found)
    async with AsyncExitStack() as exits:
        for replica in all_of_it.replicas:
            await replica.start()
            exits.push_async_callback(replica.stop)
        server = await all_of_it.relay.start("127.0.0.1")
        all_of_it.port = server.sockets[0].getsockname()[1]
        exits.push_async_callback(all_of_it.relay.close, 0)
        exits.callback(server.close)
        yield all_of_it
        for writer in all_of_it.clients:
            writer.close()
        for replica in all_of_it.replicas:
            replica.held.set()


async def test_requests_are_spread_and_the_one_with_the_fewest_open_gets_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fleet(3, monkeypatch) as three:
        answers = Counter([await three.ask() for _ in range(9)])
        assert set(answers.values()) == {3}
        for replica in three.replicas:
            replica.held.clear()
        streams = Counter([(await three.begin())[1] for _ in range(6)])
        assert set(streams.values()) == {2}
        three.replicas[1].held.set()  # its two streams end, and it has the fewest
        async with asyncio.timeout(60):
            while (await three.relay.far_ends.choices())[0].open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [await three.ask() for _ in range(2)] == ["127.0.0.3 end"] * 2


async def test_who_says_that_it_is_going_gets_no_more_and_its_stream_ends_unharmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fleet(2, monkeypatch) as two:
        for replica in two.replicas:
            replica.held.clear()
        reader, host = await two.begin()
        going = next(one for one in two.replicas if one.host == host)
        other = next(one for one in two.replicas if one is not going)
        other.held.set()
        going.health = GOING
        await two.look()
        assert {await two.ask() for _ in range(6)} == {f"{other.host} end"}
        going.held.set()
        assert await asyncio.wait_for(reader.read(-1), 60) == b" end"
        going.health = READY
        await two.look()
        assert len({await two.ask() for _ in range(6)}) == 2


async def test_one_that_is_gone_before_anybody_looked_loses_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fleet(3, monkeypatch) as three:
        await three.look()
        await three.replicas[0].stop()
        await three.replicas[2].stop()
        assert {await three.ask() for _ in range(12)} == {"127.0.0.3 end"}


async def test_one_that_comes_is_found_and_one_that_the_name_forgot_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fleet(3, monkeypatch) as three:
        three.named = three.replicas[:1]
        await three.look()
        assert {await three.ask() for _ in range(4)} == {"127.0.0.2 end"}
        three.named = three.replicas[1:]
        await three.look()
        assert {await three.ask() for _ in range(4)} == {"127.0.0.3 end", "127.0.0.4 end"}
        three.named = []
        with pytest.raises(OSError, match="no such name"):
            await three.look()
        assert {await three.ask() for _ in range(4)} == {"127.0.0.3 end", "127.0.0.4 end"}


async def test_where_nobody_is_ready_their_own_words_are_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fleet(2, monkeypatch) as two:
        for replica in two.replicas:
            replica.health = GOING
        await two.look()
        assert len({await two.ask() for _ in range(4)}) == 2
        for replica in two.replicas:
            await replica.stop()
        assert "503 Service Unavailable" in await two.ask()


async def test_without_a_path_for_health_one_that_is_back_is_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fleet(2, monkeypatch) as two:
        two.relay.far_ends.health = ""
        await two.replicas[0].stop()
        assert {await two.ask() for _ in range(4)} == {"127.0.0.3 end"}
        await two.replicas[0].start()
        await two.look()
        assert len({await two.ask() for _ in range(4)}) == 2


async def test_it_looks_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_ends, "_LOOK_SECONDS", 0.01)
    async with fleet(2, monkeypatch) as two:
        two.replicas[0].health = GOING
        async with two.relay.far_ends.watched(), asyncio.timeout(60):
            while {await two.ask() for _ in range(4)} != {"127.0.0.3 end"}:
                pass
            two.replicas[0].health = READY
            while len({await two.ask() for _ in range(4)}) != 2:
                pass


def test_a_route_may_name_a_path_for_health() -> None:
    assert Route.parse("8080=retriever:8080/readyz") == Route(8080, "retriever", 8080, "/readyz")
    assert Route.parse("3000=grafana:3000") == Route(3000, "grafana", 3000)
    for wrong in ("8080", "8080=:1", "8080=retriever", "a=b:c"):
        with pytest.raises(ValueError):
            Route.parse(wrong)
