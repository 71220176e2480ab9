"""The key store: who may manage which key, what is kept of one, and how long a look-up takes."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import URL, select
from steps import calls

from bulkhead.auth import KeyRing, Principal, Role, key_digest, new_key
from bulkhead.errors import (
    Conflict,
    Forbidden,
    InvalidValue,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from retriever.database import Database
from retriever.keys import OPERATOR, PROBER, TRUSTED_SECONDS, Keys, NewKey
from retriever.limits import Limits
from retriever.state import schema

OPERATOR_KEY = "bh_the-key-in-the-file"
LIMITS = Limits(requests_per_minute=100, tokens_per_minute=200, documents_per_minute=300)
FEWER = Limits(requests_per_minute=1, tokens_per_minute=2, documents_per_minute=3)
MORE = LIMITS.model_copy(update={"documents_per_minute": 301})


@pytest.fixture
async def database(state_url: URL) -> AsyncIterator[Database]:
    async with Database.open(state_url) as database:
        yield database


async def another(database: Database) -> Keys:
    """The keys of another process, or of one after a restart."""
    keys = Keys(database, OPERATOR_KEY, LIMITS)
    await keys.refresh()
    return keys


@pytest.fixture
async def keys(database: Database) -> Keys:
    return await another(database)


async def admin_of(keys: Keys, tenant: str) -> Principal:
    _, key = await keys.create(OPERATOR, NewKey(tenant, (), Role.ADMIN))
    return keys.principal(key)


async def test_a_key_works_at_once_and_stands_for_what_was_asked(keys: Keys) -> None:
    made, key = await keys.create(OPERATOR, NewKey("acme", ("b", "a", "b"), Role.WRITER, "bot"))
    assert keys.principal(key) == Principal(made.id, "acme", frozenset("ab"), Role.WRITER)
    assert (made.groups, made.name, made.limits) == (("a", "b"), "bot", LIMITS)
    assert len(key) == 46 and key.startswith("bh_")


async def test_the_probers_key_in_a_file_stands_for_a_reader(database: Database) -> None:
    store = Keys(database, OPERATOR_KEY, LIMITS, "bh_the-probers-key")
    assert store.principal("bh_the-probers-key") == PROBER
    assert store.principal(OPERATOR_KEY) == OPERATOR
    assert (PROBER.tenant, PROBER.role) == (OPERATOR.tenant, Role.READER)


async def test_nothing_that_is_kept_gives_a_key_away(keys: Keys, database: Database) -> None:
    _, key = await keys.create(OPERATOR, NewKey("acme", (), Role.READER))
    held = repr(await database.rows(select(schema.keys)))
    assert key_digest(key) in held
    assert key not in held and key[3:] not in held
    assert OPERATOR_KEY not in held


async def test_keys_outlive_a_restart_and_so_does_a_revocation(
    keys: Keys, database: Database
) -> None:
    _, kept = await keys.create(OPERATOR, NewKey("acme", ("a",), Role.READER, limits=FEWER))
    gone, revoked = await keys.create(OPERATOR, NewKey("acme", (), Role.READER))
    turned, old = await keys.create(OPERATOR, NewKey("acme", (), Role.READER))
    await keys.revoke(OPERATOR, gone.id)
    _, new = await keys.rotate(OPERATOR, turned.id)
    again = await another(database)
    assert again.limits(again.principal(kept)) == FEWER
    assert again.principal(new).key_id == turned.id
    for dead in (revoked, old):
        with pytest.raises(Unauthenticated):
            again.principal(dead)


async def test_what_one_process_changes_another_knows_with_its_next_look(
    keys: Keys, database: Database
) -> None:
    other = await another(database)
    made, key = await keys.create(OPERATOR, NewKey("acme", (), Role.READER, limits=FEWER))
    with pytest.raises(Unauthenticated):
        other.principal(key)
    assert (await other.admit(key)).key_id == made.id  # one that it does not know it looks for
    assert other.limits(other.principal(key)) == FEWER
    _, new = await keys.rotate(OPERATOR, made.id)
    await other.refresh()
    with pytest.raises(Unauthenticated):
        await other.admit(key)
    assert other.principal(new).key_id == made.id
    await keys.revoke(OPERATOR, made.id)
    await other.refresh()
    with pytest.raises(Unauthenticated):
        await other.admit(new)


async def test_a_process_that_is_told_nothing_looks_by_itself(
    keys: Keys, database: Database
) -> None:
    other = await another(database)
    made, key = await keys.create(OPERATOR, NewKey("acme", (), Role.READER))
    await other.admit(key)
    watching = asyncio.create_task(other.watch())
    await keys.revoke(OPERATOR, made.id)
    async with asyncio.timeout(60):
        while True:
            try:
                other.principal(key)
            except Unauthenticated:
                break
            await asyncio.sleep(0.05)
    watching.cancel()


async def test_keys_are_trusted_for_a_while_without_the_database_and_no_longer(
    keys: Keys, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, key = await keys.create(OPERATOR, NewKey("acme", (), Role.READER))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + TRUSTED_SECONDS - 1)
    assert keys.principal(key).key_id == made.id
    monkeypatch.setattr(time, "monotonic", lambda: now + TRUSTED_SECONDS + 1)
    with pytest.raises(Unavailable):
        keys.principal(key)
    assert keys.principal(OPERATOR_KEY) == OPERATOR
    monkeypatch.undo()
    await keys.refresh()
    assert keys.principal(key).key_id == made.id


async def test_before_its_first_look_a_process_says_that_it_does_not_know(
    database: Database,
) -> None:
    early = Keys(database, OPERATOR_KEY, LIMITS)
    with pytest.raises(Unavailable):
        await early.admit("bh_a-key-that-may-be-known")


async def test_a_rotated_key_keeps_its_principal_and_the_old_one_ends(keys: Keys) -> None:
    made, old = await keys.create(OPERATOR, NewKey("acme", ("a",), Role.WRITER, limits=FEWER))
    before = keys.principal(old)
    rotated, new = await keys.rotate(OPERATOR, made.id)
    assert keys.principal(new) == before
    assert (rotated.id, rotated.limits) == (made.id, FEWER)
    with pytest.raises(Unauthenticated):
        keys.principal(old)


async def test_a_revoked_key_ends_and_cannot_come_back(keys: Keys) -> None:
    made, key = await keys.create(OPERATOR, NewKey("acme", (), Role.READER))
    for _ in range(2):  # the second time changes nothing
        await keys.revoke(OPERATOR, made.id)
        with pytest.raises(Unauthenticated):
            keys.principal(key)
    with pytest.raises(Conflict):
        await keys.rotate(OPERATOR, made.id)
    (listed,), _ = await keys.page(OPERATOR, 10, None)
    assert listed.revoked_at


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("after", [0, 1])
async def test_a_key_revoked_beside_rotations_is_dead_whoever_comes_first(
    keys: Keys, database: Database, before: int, after: int
) -> None:
    known = []
    for _ in range(20):
        made, first = await keys.create(OPERATOR, NewKey("acme", (), Role.READER, limits=FEWER))
        ended = await asyncio.gather(
            *(keys.rotate(OPERATOR, made.id) for _ in range(before)),
            keys.revoke(OPERATOR, made.id),
            *(keys.rotate(OPERATOR, made.id) for _ in range(after)),
            return_exceptions=True,
        )
        known += [first, *(one[1] for one in ended if isinstance(one, tuple))]
    for store in (keys, await another(database)):
        for key in known:
            with pytest.raises(Unauthenticated):
                store.principal(key)


async def test_of_two_rotations_at_once_the_later_key_lives_and_keeps_its_limits(
    keys: Keys,
) -> None:
    for _ in range(50):
        made, first = await keys.create(OPERATOR, NewKey("acme", (), Role.READER, limits=FEWER))
        turned = await asyncio.gather(*(keys.rotate(OPERATOR, made.id) for _ in range(2)))
        alive = []
        for key in (first, *(key for _, key in turned)):
            with contextlib.suppress(Unauthenticated):
                alive.append(keys.principal(key))
        assert [keys.limits(one) for one in alive] == [FEWER]


async def test_what_is_under_way_when_its_key_ends_stays_within_the_keys_limits(
    keys: Keys,
) -> None:
    made, key = await keys.create(OPERATOR, NewKey("acme", (), Role.READER, limits=FEWER))
    asking = keys.principal(key)
    await keys.revoke(OPERATOR, made.id)
    assert keys.limits(asking) == FEWER


async def test_an_admin_manages_its_tenant_alone(keys: Keys) -> None:
    acme, other = await admin_of(keys, "acme"), await admin_of(keys, "other")
    own, _ = await keys.create(acme, NewKey("acme", (), Role.ADMIN))
    with pytest.raises(Forbidden):
        await keys.create(acme, NewKey("other", (), Role.READER))
    assert {key.tenant for key in (await keys.page(acme, 10, None))[0]} == {"acme"}
    assert len((await keys.page(OPERATOR, 10, None))[0]) == 3
    for key_id in (own.id, "key_unknown"):
        for change in (keys.revoke, keys.rotate):
            with pytest.raises(NotFound, match="there is no such key"):
                await change(other, key_id)
    await keys.revoke(acme, own.id)


async def test_the_operators_key_cannot_be_reached_through_the_store(keys: Keys) -> None:
    admin = await admin_of(keys, OPERATOR.tenant)
    for by in (OPERATOR, admin):
        for change in (keys.revoke, keys.rotate):
            with pytest.raises(NotFound):
                await change(by, OPERATOR.key_id)
    assert keys.principal(OPERATOR_KEY) == OPERATOR
    with pytest.raises(Forbidden):  # an admin of the operator's tenant is not the operator
        await keys.create(admin, NewKey("acme", (), Role.READER))


async def test_limits_come_from_the_key_that_makes_a_key_and_never_grow(keys: Keys) -> None:
    _, key = await keys.create(OPERATOR, NewKey("acme", (), Role.ADMIN, limits=FEWER))
    admin = keys.principal(key)
    child, _ = await keys.create(admin, NewKey("acme", (), Role.READER))
    assert child.limits == FEWER
    with pytest.raises(Forbidden, match="limits: they may not be above your own"):
        await keys.create(admin, NewKey("acme", (), Role.READER, limits=LIMITS))
    raised, _ = await keys.create(OPERATOR, NewKey("acme", (), Role.READER, limits=MORE))
    assert raised.limits == MORE


async def test_pages_follow_their_cursor(keys: Keys) -> None:
    made = [(await keys.create(OPERATOR, NewKey("t", (), Role.READER)))[0].id for _ in range(5)]
    seen, cursor = [], None
    while True:
        page, cursor = await keys.page(OPERATOR, 2, cursor)
        seen += [key.id for key in page]
        if cursor is None:
            break
    assert seen == made
    with pytest.raises(InvalidValue):
        await keys.page(OPERATOR, 2, "nonsense")


def test_a_look_up_among_ten_thousand_keys_does_what_one_among_one_does() -> None:
    principal = Principal("k", "t", frozenset(), Role.READER)
    made = [new_key() for _ in range(10_000)]
    many = KeyRing({key_digest(key): principal for key in made})
    one = KeyRing({key_digest(made[0]): principal})
    assert many.principal(made[-1]) is principal
    assert calls(lambda: many.principal(made[-1])) == calls(lambda: one.principal(made[0]))
