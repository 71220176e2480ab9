"""Approvals hold for one call, whichever process asks."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import URL, update

from bulkhead.auth import Principal, Role
from bulkhead.errors import Conflict, NotFound
from retriever.agent.approvals import MOST_OF_A_TENANT, Approvals
from retriever.database import Database
from retriever.state import schema

ANN = Principal("ann", "default", frozenset(), Role.WRITER)
BOB = Principal("bob", "default", frozenset(), Role.WRITER)
EVE = Principal("eve", "other", frozenset(), Role.ADMIN)


@pytest.fixture
async def database(state_url: URL) -> AsyncIterator[Database]:
    async with Database.open(state_url) as database:
        yield database


async def test_an_approval_is_for_one_call_of_one_key_once(database: Database) -> None:
    approvals = Approvals(database, 60)
    asked = await approvals.request(ANN, "send", {"to": "bob"}, "hash-1")
    assert not await approvals.use(ANN, "send", "hash-1")
    with pytest.raises(NotFound):
        await approvals.decide(EVE, asked.id, True)
    await approvals.decide(ANN, asked.id, True)
    with pytest.raises(Conflict):
        await approvals.decide(ANN, asked.id, True)
    assert not await approvals.use(ANN, "send", "hash-2")
    assert not await approvals.use(ANN, "other", "hash-1")
    assert not await approvals.use(EVE, "send", "hash-1")
    assert await approvals.use(ANN, "send", "hash-1")
    assert not await approvals.use(ANN, "send", "hash-1")


async def test_a_denied_call_stays_denied_and_an_old_approval_expires(
    database: Database,
) -> None:
    approvals = Approvals(database, 60)
    denied = await approvals.request(ANN, "send", {}, "hash-1")
    await approvals.decide(ANN, denied.id, False)
    assert not await approvals.use(ANN, "send", "hash-1")
    old = await approvals.request(ANN, "send", {}, "hash-2")
    await approvals.decide(ANN, old.id, True)
    await database.write(
        update(schema.approvals).values(expires_at=schema.clock() - timedelta(seconds=1))
    )
    assert not await approvals.use(ANN, "send", "hash-2")
    with pytest.raises(NotFound):
        await approvals.get(ANN, old.id)


async def test_a_flood_of_requests_pushes_out_those_of_its_own_key_alone(
    database: Database,
) -> None:
    approvals = Approvals(database, 60)
    waiting = [(one, (await approvals.request(one, "send", {}, "mine")).id) for one in (ANN, BOB)]
    first = (await approvals.request(EVE, "send", {}, "0")).id
    for n in range(1, MOST_OF_A_TENANT):
        await approvals.request(EVE, "send", {}, str(n))
    assert await approvals.get(EVE, first)
    latest = (await approvals.request(EVE, "send", {}, "one more")).id
    with pytest.raises(NotFound):
        await approvals.get(EVE, first)
    assert await approvals.get(EVE, latest)
    for n in range(MOST_OF_A_TENANT + 1):  # a neighbour in the same tenant
        latest = (await approvals.request(BOB, "send", {}, str(n))).id
    assert await approvals.get(*waiting[0]) and await approvals.get(BOB, latest)
    with pytest.raises(NotFound):
        await approvals.get(*waiting[1])


async def test_an_approval_is_used_once_by_all_processes_together(database: Database) -> None:
    approvals = Approvals(database, 60)
    asked = await approvals.request(ANN, "send", {}, "hash-1")
    assert await approvals.request(ANN, "send", {}, "hash-1") == asked
    await approvals.decide(ANN, asked.id, True)
    others = [Approvals(database, 60) for _ in range(8)]
    used = await asyncio.gather(*(one.use(ANN, "send", "hash-1") for one in others))
    assert sorted(used) == [False] * 7 + [True]
