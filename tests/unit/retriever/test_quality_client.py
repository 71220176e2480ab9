"""Answers on their way to the quality service: a share, bounded, and nothing waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from telemetry import Recorded

from retriever.clients.quality import QualityClient


class Server:
    """The quality service. `gate` holds its replies back; status 0 breaks the connection."""

    def __init__(self, status: int = 202) -> None:
        self.status = status
        self.requests: list[tuple[str, str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.came = asyncio.Semaphore(0)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        asked = (request.path, request.headers["authorization"], await request.json())
        self.requests.append(asked)
        self.came.release()
        await self.gate.wait()
        if not self.status:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({}, status=self.status or 500)


@asynccontextmanager
async def client(
    server: Server, share: float = 1.0, places: int = 8
) -> AsyncIterator[QualityClient]:
    async with RawTestServer(server.handle) as listening, aiohttp.ClientSession() as http:
        made = QualityClient(http, str(listening.make_url("/")), "the-token", share, places)
        task = asyncio.create_task(made.run())
        yield made
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.gate.set()


def offer(made: QualityClient, name: str = "chatcmpl-1", traffic: str = "user") -> None:
    made.offer(name, "Which port?", "8080.", ["It listens on port 8080."], True, traffic)


async def test_an_answer_goes_there_with_its_sources_and_the_token() -> None:
    server = Server()
    async with client(server) as made:
        offer(made)
        await asyncio.wait_for(server.came.acquire(), 60)
    ((path, authorization, body),) = server.requests
    assert path == "/v1/evaluations"
    assert authorization == "Bearer the-token"
    assert body == {
        "response_id": "chatcmpl-1",
        "question": "Which port?",
        "answer": "8080.",
        "sources": ["It listens on port 8080."],
        "lexical": "supported",
    }


async def test_canaries_and_what_is_not_drawn_stay_here() -> None:
    server = Server()
    async with client(server, share=0.5, places=1000) as made:
        for n in range(200):
            offer(made, f"chatcmpl-{n}", "canary")
            offer(made, f"chatcmpl-{n}")
        drawn = made._queue.qsize()
    assert 60 < drawn < 140


async def test_a_slow_service_costs_samples_and_no_time() -> None:
    recorded, server = Recorded(), Server()
    server.gate.clear()
    async with client(server, places=2) as made:
        offer(made)
        await asyncio.wait_for(server.came.acquire(), 60)  # one on its way, two wait
        for _ in range(5):
            offer(made)
        assert recorded.total("rag.evaluation.dropped", rag_stage="sample") == 3


async def test_a_service_that_is_down_or_refuses_is_counted_and_the_next_one_is_sent() -> None:
    for status in (0, 401, 413, 503):
        recorded, server = Recorded(), Server(status)
        async with client(server) as made:
            offer(made, "chatcmpl-1")
            offer(made, "chatcmpl-2")
            for _ in range(2):
                await asyncio.wait_for(server.came.acquire(), 60)
        assert recorded.total("rag.evaluation.dropped", rag_stage="send") >= 1, status
        assert len(server.requests) == 2
