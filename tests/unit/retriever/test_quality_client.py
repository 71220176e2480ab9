"""Answers on their way to the quality service: a share, bounded, and nothing waits for it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from telemetry import Recorded

from retriever.clients.quality import QualityClient


class Server:
    """The quality service, as a transport. `gate` holds its replies back."""

    def __init__(self, status: int = 202) -> None:
        self.status = status
        self.requests: list[httpx.Request] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.came = asyncio.Semaphore(0)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.came.release()
        await self.gate.wait()
        if not self.status:
            raise httpx.ConnectError("refused")
        return httpx.Response(self.status, json={})


@asynccontextmanager
async def client(
    server: Server, share: float = 1.0, places: int = 8
) -> AsyncIterator[QualityClient]:
    transport = httpx.MockTransport(server)
    async with httpx.AsyncClient(base_url="http://quality", transport=transport) as http:
        made = QualityClient(http, "the-token", share, places)
        task = asyncio.create_task(made.run())
        yield made
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def offer(made: QualityClient, name: str = "chatcmpl-1", traffic: str = "user") -> None:
    made.offer(name, "Which port?", "8080.", ["It listens on port 8080."], traffic)


async def test_an_answer_goes_there_with_its_sources_and_the_token() -> None:
    server = Server()
    async with client(server) as made:
        offer(made)
        await asyncio.wait_for(server.came.acquire(), 5)
    (request,) = server.requests
    assert request.url.path == "/v1/evaluations"
    assert request.headers["authorization"] == "Bearer the-token"
    assert json.loads(request.content) == {
        "response_id": "chatcmpl-1",
        "question": "Which port?",
        "answer": "8080.",
        "sources": ["It listens on port 8080."],
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
        await asyncio.wait_for(server.came.acquire(), 5)  # one on its way, two wait
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
                await asyncio.wait_for(server.came.acquire(), 5)
        assert recorded.total("rag.evaluation.dropped", rag_stage="send") >= 1, status
        assert len(server.requests) == 2
