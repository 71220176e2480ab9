"""The retriever and a Qdrant cluster: several nodes, over one store here, of which some go."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from qdrant_server import KEY, STAMP, addition, reached, search, serving_qdrant
from qdrant_standin import Standin
from relay import Relay

from bulkhead.errors import Unavailable
from retriever.index import nodes
from retriever.index.collection import Storage
from retriever.index.connect import Server, connect
from retriever.index.vectors import Vectors
from retriever.settings import RetrieverSettings


@contextmanager
def cluster(size: int = 3) -> Iterator[list[Standin]]:
    """Nodes that hold the same."""
    with ExitStack() as running:
        first = running.enter_context(serving_qdrant())
        others = [running.enter_context(serving_qdrant(beside=first)) for _ in range(size - 1)]
        yield [first, *others]


def counted(standins: list[Standin]) -> Counter[int]:
    """How many writes each node is asked to make, by its place."""
    writes: Counter[int] = Counter()
    for place, standin in enumerate(standins):
        standin.faults.before_write = partial(writes.update, [place])
    return writes


async def until(holds: Callable[[], bool], do: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await do()
            await asyncio.sleep(0.05)


async def test_reads_and_writes_go_on_without_a_node_which_is_used_again_when_it_is_back() -> None:
    with cluster() as standins, ExitStack() as later:
        connection = connect(reached(*standins), Path("unused"))
        chunks = Vectors(connection, "chunks")
        await chunks.ensure(STAMP)
        write = partial(chunks.upsert, [addition("A canary.")])
        writes = counted(standins)
        for _ in range(6):
            await write()
        assert writes == {0: 2, 1: 2, 2: 2}
        standins[1].stop()
        for _ in range(12):  # not one of them fails
            await write()
            assert await search(chunks) == ["A canary."]
        address = f"127.0.0.1:{standins[1].port}"
        back = later.enter_context(serving_qdrant(beside=standins[0], address=address))
        asked = counted([back])
        await until(lambda: bool(asked), write)
        await connection.close()


class Held(threading.Event):
    """Holds a call that has come until its server is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived, self.gone = threading.Event(), threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.arrived.set()
        return self.gone.wait(60)


async def test_a_write_that_dies_with_its_node_is_made_at_another() -> None:
    with cluster() as standins:
        connection = connect(reached(*standins), Path("unused"))
        chunks = Vectors(connection, "chunks")
        await chunks.ensure(STAMP)
        dying = {standin: Held() for standin in standins[:2]}
        for standin, held in dying.items():
            standin.faults.hangs, standin.faults.released = True, held
        writes = [asyncio.create_task(chunks.upsert([addition("A canary.")])) for _ in range(3)]
        for standin, held in dying.items():
            assert await asyncio.to_thread(held.arrived.wait, 60)
            await asyncio.to_thread(standin.stop)
            held.gone.set()
        await asyncio.gather(*writes)
        assert await search(chunks) == ["A canary."]
        await connection.close()


async def test_a_node_that_falls_silent_costs_no_search() -> None:
    with cluster() as standins:
        relay = Relay(standins[0].port)
        port = await relay.start()
        server = Server(
            (f"http://127.0.0.1:{port}", f"http://127.0.0.1:{standins[1].port}"), KEY, 60, 60
        )
        connection = connect(server, Path("unused"))
        chunks = Vectors(connection, "chunks")
        await chunks.ensure(STAMP)
        await chunks.upsert([addition("A canary.")])
        relay.silence()
        for _ in range(4):
            assert await search(chunks) == ["A canary."]
        await connection.close()
        await relay.stop()


async def test_all_nodes_gone_is_unavailable_and_one_back_is_enough() -> None:
    with cluster(2) as standins, ExitStack() as later:
        connection = connect(reached(*standins), Path("unused"))
        chunks = Vectors(connection, "chunks")
        await chunks.ensure(STAMP)
        for standin in standins:
            standin.stop()
        with pytest.raises(Unavailable, match="Qdrant does not answer"):
            await search(chunks)
        later.enter_context(
            serving_qdrant(beside=standins[0], address=f"127.0.0.1:{standins[1].port}")
        )
        async with asyncio.timeout(60):
            while True:
                with suppress(Unavailable):
                    await chunks.exists()
                    break
                await asyncio.sleep(0.1)
        await connection.close()


async def test_a_name_that_leads_to_several_nodes_spreads_calls_over_them() -> None:
    families = {one[0] for one in socket.getaddrinfo("localhost", 80)}
    if families != {socket.AF_INET, socket.AF_INET6}:
        pytest.skip("localhost has one address here")
    with serving_qdrant() as four:
        try:
            six = serving_qdrant(beside=four, address=f"[::1]:{four.port}")
            other = six.__enter__()
        except RuntimeError:
            pytest.skip("no IPv6 here, or the port is taken there")
        try:
            writes = counted([four, other])
            server = Server((f"http://localhost:{four.port}",), KEY, 60, 60)
            connection = connect(server, Path("unused"))
            chunks = Vectors(connection, "chunks")
            await chunks.ensure(STAMP)
            await until(lambda: len(writes) == 2, partial(chunks.upsert, [addition("A canary.")]))
            four.stop()
            for _ in range(6):
                await chunks.upsert([addition("A canary.")])
            await connection.close()
        finally:
            six.__exit__(None, None, None)


async def test_a_name_is_looked_up_again_and_calls_under_way_end_where_they_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nodes, "RENEW_SECONDS", 0.0)

    class Client:
        def __init__(self) -> None:
            self.leads_to, self.closed, self.done = leads_to[0], False, asyncio.Event()

        async def info(self) -> str:
            return self.leads_to

        async def slow(self) -> str:
            await self.done.wait()
            return self.leads_to

        async def close(self) -> None:
            self.closed = True

    leads_to = ["old"]
    node = nodes.Node(Client, named=True, longest=600.0)  # type: ignore[arg-type]
    both: Any = nodes.Nodes([node])
    first: Any = node.client
    slow = asyncio.create_task(both.slow())
    leads_to[0] = "new"
    told: list[str] = []

    async def ask() -> None:
        told.append(await both.info())

    await until(lambda: "new" in told, ask)
    assert not first.closed
    first.done.set()
    assert await slow == "old"
    await both.close()
    assert first.closed and node.client.closed  # type: ignore[attr-defined]


async def test_a_new_collection_is_kept_as_set_and_one_that_is_there_says_how_it_differs() -> None:
    three = Storage(6, 3, 2, True, False, "scalar", 2.0)
    with serving_qdrant() as standin:
        connection = connect(reached(standin), Path("unused"))
        chunks = Vectors(connection, "chunks", storage=three)
        await chunks.ensure(STAMP)
        config = standin.info("chunks").config
        assert (
            config.params.shard_number,
            config.params.replication_factor,
            config.params.write_consistency_factor,
            config.params.on_disk_payload,
        ) == (6, 3, 2, False)
        assert config.params.vectors["dense"].on_disk  # type: ignore[index]
        assert config.quantization_config.scalar.always_ram  # type: ignore[union-attr]
        assert chunks.differing == ""
        again = Vectors(connection, "chunks", storage=Storage(None, 2, 2, False, False, "binary"))
        await again.ensure(STAMP)
        assert again.differing == (
            "the collection keeps what it was made with: replication factor 3, now 2, "
            "vectors on disk True, now False, quantization scalar, now binary"
        )
        await again.upsert([addition("A canary.")])
        assert await search(again) == ["A canary."]
        await connection.close()


def test_addresses_are_read_with_commas_and_what_no_write_could_meet_is_refused() -> None:
    two = RetrieverSettings.model_validate({"qdrant_url": "http://a:1, http://b:2,"})
    assert [str(url) for url in two.qdrant_url or ()] == ["http://a:1/", "http://b:2/"]
    for wrong in (
        {"qdrant_url": "http://a:1,https://b:2"},
        {"qdrant_url": "http://a:1,b"},
        {"qdrant_replication_factor": 2, "qdrant_write_consistency_factor": 3},
    ):
        with pytest.raises(ValidationError):
            RetrieverSettings.model_validate(wrong)
