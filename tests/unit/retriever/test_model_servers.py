"""Who is asked first: the order that settings tell, less those that failed a while ago."""

import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from bulkhead.errors import Unavailable, UnknownModel
from retriever.clients import model_servers
from retriever.clients.llm import ServedModel, TurnedAway
from retriever.clients.model_servers import ModelServers


class Client:
    """A server that has one model, and can be down."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.down = False

    async def served(self, name: str | None = None) -> ServedModel:
        if self.down:
            raise Unavailable("llm", "down")
        if name not in (None, self.model):
            raise UnknownModel("not here")
        return ServedModel(self.model, None)


def made(*names: str) -> tuple[ModelServers, list[Any]]:
    clients: list[Any] = [Client(name) for name in names]
    return ModelServers(clients), clients


async def order(servers: ModelServers, name: str | None = None) -> list[str]:
    asked: AsyncGenerator[Any, None] = servers.choices(name)
    return [served.id async for _, served in asked]


async def test_one_that_failed_is_asked_last_until_its_pause_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    servers, _ = made("a", "b", "c")
    assert await order(servers) == ["a", "b", "c"]
    servers.servers[0].failed(Unavailable("llm", "down"))
    servers.servers[1].failed(TurnedAway("busy", 60.0))
    assert await order(servers) == ["c", "a", "b"]
    now += 10.0
    assert await order(servers) == ["a", "c", "b"]
    now += 50.0
    assert await order(servers) == ["a", "b", "c"]
    servers.servers[0].failed(TurnedAway("busy", 86_400.0))
    servers.servers[0].answered()
    assert await order(servers) == ["a", "b", "c"]


async def test_metrics_say_which_server_answered_and_which_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[tuple[Any, Any]] = []

    class Counter:
        def add(self, _: int, labels: dict[str, str]) -> None:
            counted.append((labels["rag.model.server"], labels["rag.result"]))

    monkeypatch.setattr(model_servers, "MODEL_SERVER_CALLS", Counter())
    (alone,), (first, second) = made("a")[0].servers, made("a", "b")[0].servers
    alone.answered()
    first.failed(Unavailable("llm", "down"))
    second.answered()
    assert counted == [("llm", "answered"), ("llm-1", "failed"), ("llm-2", "answered")]


async def test_a_name_is_looked_for_in_all_and_others_answer_only_for_one_that_fails() -> None:
    servers, clients = made("a", "b")
    assert await order(servers, "b") == ["b", "a"]
    with pytest.raises(UnknownModel):
        await order(servers, "c")
    clients[0].down = True
    assert await order(servers, "a") == ["b"]
    clients[1].down = True
    with pytest.raises(Unavailable):
        await order(servers)
