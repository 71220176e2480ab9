"""The relay between two real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from serving import free_port

from ingress.relay import Relay, Route

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def relaying(handler: Handler, most: int = 8) -> AsyncIterator[tuple[int, Relay]]:
    """A relay to a far end that does as `handler` says; the port to connect to."""
    far = await asyncio.start_server(handler, "127.0.0.1", 0)
    target = far.sockets[0].getsockname()[1]
    relay = Relay(Route(free_port(), "127.0.0.1", target), most)
    server = await relay.start("127.0.0.1")
    try:
        yield server.sockets[0].getsockname()[1], relay
    finally:
        server.close()
        await relay.close(0)
        far.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.write(b" end")
    writer.close()


async def test_megabytes_pass_both_ways_unchanged_and_half_closes_are_kept() -> None:
    sent = bytes(range(256)) * 16384
    async with relaying(echo) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def send() -> None:
            writer.write(sent)
            await writer.drain()
            writer.write_eof()

        _, answer = await asyncio.gather(send(), reader.read(-1))
        assert answer == sent + b" end"
        writer.close()


async def test_a_client_that_leaves_is_seen_by_the_far_end() -> None:
    left = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        left.set()
        writer.close()

    async with relaying(waits) as (port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"a question")
        writer.close()
        await asyncio.wait_for(left.wait(), 60)


async def test_a_dead_far_end_is_said_in_words_of_http() -> None:
    relay = Relay(Route(free_port(), "127.0.0.1", free_port()), 8)
    server = await relay.start("127.0.0.1")
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"GET / HTTP/1.1\r\n\r\n")

    head, _, body = (await asyncio.wait_for(reader.read(-1), 60)).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 503 ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b'"type":"unavailable"' in body and b'"part":"127.0.0.1"' in body
    writer.close()
    server.close()


async def test_one_connection_too_many_is_closed_and_the_others_go_on() -> None:
    asked: asyncio.Queue[bytes] = asyncio.Queue()

    async def thinks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked.put(await reader.readuntil(b"\r\n\r\n"))
        writer.write(await reader.readexactly(1))

    async with relaying(thinks, most=2) as (port, _):
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in pairs:
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(asked.get(), 60)

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(1), 60) == b""
        writer.close()

        pairs[0][1].write(b"y")
        assert await asyncio.wait_for(pairs[0][0].read(1), 60) == b"y"
        for _, writer in pairs:
            writer.close()


async def test_silent_clients_whom_the_far_end_gave_up_hold_no_place() -> None:
    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        writer.close()

    async with relaying(impatient, most=4) as (port, relay):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        for reader, _ in silent:
            assert (await asyncio.wait_for(reader.read(-1), 60)).startswith(b"HTTP/1.1 408 ")
        await asyncio.wait_for(relay.close(600), 60)  # there is nothing to wait for
        for _, writer in silent:
            writer.close()


HEAD = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"


class Service:
    """Answers each request at once and keeps the connection; `/slow` waits until it may."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self.asked.put(head)
                if b"/slow" in head:
                    await self.go.wait()
                writer.write(b"answer")
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


async def asks(port: int, what: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD % what)
    return reader, writer


async def answer(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readexactly(6), 60)


@pytest.mark.parametrize("said", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_who_has_not_asked_a_whole_question_makes_room_for_who_has(said: bytes) -> None:
    service = Service()
    async with relaying(service, most=3) as (port, _):
        owed, spoken = await asks(port, b"slow")
        await asyncio.wait_for(service.asked.get(), 60)
        half = []
        for _ in range(3):
            for _ in range(20):
                half.append(await asyncio.open_connection("127.0.0.1", port))
                half[-1][1].write(said)
            reader, writer = await asks(port)
            assert await answer(reader) == b"answer"
            writer.close()
        service.go.set()
        assert await answer(owed) == b"answer"
        for writer in (spoken, *(one for _, one in half)):
            writer.close()


async def test_who_was_answered_and_asks_no_more_makes_room_the_longest_silent_first() -> None:
    service = Service()
    async with relaying(service, most=3) as (port, _):
        kept = [await asks(port) for _ in range(3)]
        for reader, _ in kept:
            assert await answer(reader) == b"answer"
        kept[0][1].write(HEAD % b"")
        assert await answer(kept[0][0]) == b"answer"
        newcomer = await asks(port)
        assert await answer(newcomer[0]) == b"answer"
        assert await asyncio.wait_for(kept[1][0].read(), 60) == b""
        for reader, writer in (kept[0], kept[2], newcomer):
            writer.write(HEAD % b"")
            assert await answer(reader) == b"answer"
            writer.close()
        kept[1][1].close()


async def test_a_head_that_drips_in_is_cut_and_who_waits_for_an_answer_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingress.line.HEAD_SECONDS", 1.0)
    service = Service()
    async with relaying(service) as (port, _):
        owed, spoken = await asks(port, b"slow")
        await asyncio.wait_for(service.asked.get(), 60)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def drip() -> None:
            while True:
                writer.write(b"G")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 60) == b""
        dripping.cancel()
        service.go.set()
        assert await answer(owed) == b"answer"
        for one in (spoken, writer):
            one.close()


async def test_where_neither_side_says_a_word_for_minutes_the_connection_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingress.line.SILENT_SECONDS", 0.2)
    async with relaying(Service()) as (port, _):
        for what in (b"slow", b""):
            reader, writer = await asks(port, what)
            assert await asyncio.wait_for(reader.read(), 60) == (b"answer" if what == b"" else b"")
            writer.close()


async def test_a_client_that_reads_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingress.relay._UNREAD_SECONDS", 0.1)
    cut = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except OSError:
            cut.set()

    async with relaying(endless) as (port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.wait_for(cut.wait(), 60)
        writer.close()


async def test_at_the_end_a_stream_gets_its_time_and_a_stuck_one_is_cut() -> None:
    go = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(b"the end of the answer")
        writer.close()

    async with relaying(slow) as (port, relay):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        closing = asyncio.create_task(relay.close(60))
        await asyncio.sleep(0)
        go.set()
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(-1), 60) == b"the end of the answer"
        await closing

        go.clear()
        _, stuck = await asyncio.open_connection("127.0.0.1", port)
        stuck.write(b"x")
        await asyncio.wait_for(relay.close(0.1), 60)
        stuck.close()


@pytest.mark.parametrize("text", ["", "8080", "8080=retriever", "x=retriever:8080", "80=:80"])
def test_a_route_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"route|invalid literal"):
        Route.parse(text)
