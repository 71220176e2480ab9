"""Clients that are slow on purpose, on a real server: they are cut, and nobody else waits."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
import uvicorn
from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from bulkhead.app import create_app, server_config
from bulkhead.health import Part, Readiness
from bulkhead.settings import ServiceSettings

HEAD = b"POST /length HTTP/1.1\r\nHost: x\r\n"


class Served:
    """The server's port, and what its stream saw."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stream_ended = asyncio.Event()

    def client(self) -> httpx2.AsyncClient:
        """One that behaves."""
        return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60)


@asynccontextmanager
async def served(most: int | None = None, **limits: float) -> AsyncIterator[Served]:
    router = APIRouter()

    @router.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @router.get("/endless")
    async def endless() -> StreamingResponse:
        async def words() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
                    await asyncio.sleep(0)
            finally:
                seen.stream_ended.set()

        return StreamingResponse(words())

    async def ready() -> Readiness:
        return Readiness(status="ready", parts={"x": Part(state="up")})

    settings = ServiceSettings.model_validate({"port": 0, **limits})
    app = create_app(
        name="slow",
        title="Test",
        description="",
        version="0",
        settings=settings,
        routers=[router],
        ready=ready,
    )
    started = asyncio.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    server = Server(server_config(app, settings, limit_concurrency=most))
    task = asyncio.create_task(server.serve())
    await asyncio.wait_for(started.wait(), 60)
    seen = Served(server.servers[0].sockets[0].getsockname()[1])
    try:
        yield seen
    finally:
        server.should_exit = True
        await task


async def drip(port: int, *pieces: bytes, pause: float = 0.05) -> bytes:
    """Send the pieces, the last one again and again; what the server says until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        for piece in pieces[:-1]:
            writer.write(piece)
        while True:
            writer.write(pieces[-1])
            await writer.drain()
            await asyncio.sleep(pause)

    sender = asyncio.create_task(send())
    received = b""
    try:
        while part := await asyncio.wait_for(reader.read(65536), 60):
            received += part
    except ConnectionError:  # what was sent after its end resets the connection
        pass
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        writer.close()
    return received


def error_of(reply: bytes) -> tuple[int, str]:
    head, _, body = reply.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert error["request_id"]
    return int(head.split()[1]), error["type"]


@pytest.mark.parametrize("pieces", [(b"",), (HEAD, b"X"), (b"P", b"")])
async def test_a_head_that_does_not_come_is_cut(pieces: tuple[bytes, ...]) -> None:
    async with served(head_timeout=0.3) as server:
        assert error_of(await drip(server.port, *pieces)) == (408, "request_timeout")


async def test_a_second_request_on_a_connection_has_its_time_too() -> None:
    async with served(head_timeout=2) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b'{"status":"alive"}')).startswith(b"HTTP/1.1 200")
        writer.write(b"GET /healthz HTTP/1.1\r\nHo")
        reply = await asyncio.wait_for(reader.read(), 60)
        writer.close()
    assert error_of(reply) == (408, "request_timeout")


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD, b"X: " + b"a" * 3000 + b"\r\n", b"Y: b\r\n"),  # long lines
        (HEAD + b"X: ", b"a" * 500),  # one line without an end
        (HEAD + b"X: " + b"a" * 3000 + b"\r\n\r\n", b""),  # all at once
        (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b""),  # a long path
    ],
)
async def test_a_head_that_is_too_long_is_431(pieces: tuple[bytes, ...]) -> None:
    async with served(max_head_bytes=2000) as server:
        assert error_of(await drip(server.port, *pieces, pause=0.01)) == (431, "head_too_large")


async def test_what_is_not_http_is_a_400_in_our_shape() -> None:
    async with served() as server:
        reply = await drip(server.port, b"\x16\x03\x01 hello\r\n\r\n")
    assert error_of(reply) == (400, "malformed_request")


async def test_a_body_that_drips_is_cut() -> None:
    async with served(body_timeout=0.3) as server:
        reply = await drip(server.port, HEAD + b"Content-Length: 5000\r\n\r\n", b"x")
    assert error_of(reply) == (408, "request_timeout")


async def test_a_body_that_is_slow_and_keeps_coming_is_taken() -> None:
    async with served(body_timeout=3) as server:

        async def body() -> AsyncIterator[bytes]:
            for _ in range(40):  # longer than a body without a byte may take
                yield b"x" * 16384
                await asyncio.sleep(0.1)

        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}", timeout=60
        ) as client:
            assert (await client.post("/length", content=body())).json() == 655360


async def test_a_client_that_never_reads_its_stream_is_cut() -> None:
    async with served(write_timeout=0.3) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(server.stream_ended.wait(), 60)
        writer.close()


@pytest.mark.parametrize("said", [b"", b"P", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_clients_that_ask_nothing_shut_nobody_out(said: bytes) -> None:
    async with served(most=8) as server:
        silent = []
        for _ in range(40):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(said)
            if said.endswith(b"\r\n\r\n"):  # and then keeps its connection
                assert (await reader.readuntil(b'{"status":"alive"}')).startswith(b"HTTP/1.1 200")
            silent.append((reader, writer))
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}", timeout=60
        ) as client:
            for _ in range(3):
                assert (await client.get("/healthz")).status_code == 200
        assert await asyncio.wait_for(silent[0][0].read(), 60) == b""  # the oldest gave way
        for _, writer in silent:
            writer.close()


async def test_beside_two_hundred_slow_clients_everyone_else_is_answered() -> None:
    async with served(head_timeout=3, body_timeout=3) as server:
        kinds = [(b"P", b""), (HEAD, b"X"), (HEAD + b"Content-Length: 5000\r\n\r\n", b"x"), (b"",)]
        slow = [
            asyncio.create_task(drip(server.port, *kinds[n % len(kinds)], pause=0.2))
            for n in range(200)
        ]
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}", timeout=60
        ) as client:
            while not all(task.done() for task in slow):
                assert (await client.get("/healthz")).status_code == 200
                await asyncio.sleep(0.02)
        replies = await asyncio.gather(*slow)
    # A client that goes on sending may lose the reply to its own connection's reset.
    assert all(reply.startswith(b"HTTP/1.1 408") or not reply for reply in replies)
