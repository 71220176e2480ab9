"""Tenants in turn: whatever one handed in, another's document finds a free hand."""

import asyncio

from bulkhead.auth import Principal, Role
from retriever.index.model import ChunkSpan, NewDocument
from retriever.ingest.items import Item, NewItem
from retriever.ingest.queue import Buffer, Ready, Waiting


def item(tenant: str, n: int, source: str = "") -> Item:
    principal = Principal(f"{tenant}-key", tenant, frozenset(), Role.WRITER)
    new = NewItem(source or f"{tenant}{n}", None, None, (), {}, "spool", "digest")
    return Item(f"{tenant}-job", n, principal, new)


def ready(tenant: str, n: int, chunks: int = 1, characters: int = 1) -> Ready:
    spans = [ChunkSpan(0, 1, None, "") for _ in range(chunks)]
    document = NewDocument("id", "s", "t", "text/plain", (), {}, "x" * characters, (), spans)
    return Ready(item(tenant, n), document, ["x"] * chunks, [])


def named(items: list[Item]) -> list[str]:
    return [one.new.source for one in items]


async def test_tenants_take_turns_whoever_came_first_with_how_much() -> None:
    waiting = Waiting(most=100)
    waiting.put([item("a", n) for n in range(5)])
    waiting.put([item("b", n) for n in range(2)] + [item("c", 0)])
    got = [await waiting.get() for _ in range(8)]
    assert named(got) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]


async def test_slow_documents_of_a_tenant_leave_a_reader_for_another() -> None:
    waiting = Waiting(most=2)
    waiting.put([item("a", n) for n in range(3)])
    slow = [await waiting.get() for _ in range(2)]
    third = asyncio.create_task(waiting.get())
    await asyncio.sleep(0)
    assert not third.done()
    waiting.put([item("b", 0)])
    assert named([await third]) == ["b0"]
    fourth = asyncio.create_task(waiting.get())
    await asyncio.sleep(0)
    assert not fourth.done()
    waiting.read(slow[0])
    assert named([await fourth]) == ["a2"]


async def test_a_full_buffer_of_one_tenant_has_room_for_another_and_a_writer() -> None:
    buffer = Buffer(max_characters=10, most=2)
    await buffer.put(ready("a", 0, chunks=500, characters=20))
    more = asyncio.create_task(buffer.put(ready("a", 1, chunks=500)))
    await asyncio.sleep(0)
    assert not more.done()
    huge = await buffer.take(64)
    await more
    also_huge = await buffer.take(64)
    await buffer.put(ready("a", 2, chunks=500))
    third = asyncio.create_task(buffer.take(64))
    await asyncio.sleep(0)
    assert not third.done()
    await buffer.put(ready("b", 0, characters=50))
    small = await third
    assert named([one.item for one in small]) == ["b0"]
    fourth = asyncio.create_task(buffer.take(64))
    for group in (huge, also_huge):
        await buffer.done(group)
    assert named([one.item for one in await fourth]) == ["a2"]


async def test_small_documents_of_tenants_are_embedded_together_in_turn() -> None:
    buffer = Buffer(max_characters=100, most=2)
    for n in range(3):
        await buffer.put(ready("a", n, chunks=20))
    await buffer.put(ready("b", 0, chunks=30))
    group = await buffer.take(64)
    assert named([one.item for one in group]) == ["a0", "b0"]
    assert named([one.item for one in await buffer.take(64)]) == ["a1", "a2"]
