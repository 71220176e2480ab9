"""Rate limits: each key has its own, and each kind of use its own window; places are shared."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

import pytest

from bulkhead.auth import Principal, Role
from bulkhead.errors import RateLimited, TooLarge
from retriever.limits import Limits, RateLimits, Repeated

LIMITS = Limits(requests_per_minute=3, tokens_per_minute=100, documents_per_minute=10)
PLACES = {"searches": 2, "chats": 1}
ONE, OTHER = (Principal(key, "t", frozenset(), Role.READER) for key in ("one", "other"))


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> RateLimits:
    Clock(monkeypatch)
    return RateLimits(lambda _: LIMITS, refusals_per_minute=2, places=PLACES)


class Clock:
    """The time that `limits` sees."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000_020.0
        monkeypatch.setattr("time.time", lambda: self.now)


async def test_requests_are_counted_for_each_key(limits: RateLimits) -> None:
    for _ in range(3):
        await limits.request(ONE)
    with pytest.raises(RateLimited) as refused:
        await limits.request(ONE)
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 60
    await limits.request(OTHER)


async def test_a_refusal_again_is_told_apart(limits: RateLimits) -> None:
    for _ in range(3):
        await limits.request(ONE)
    with pytest.raises(RateLimited) as first:
        await limits.request(ONE)
    with pytest.raises(Repeated):
        await limits.request(ONE)
    assert not isinstance(first.value, Repeated)


async def test_an_answer_is_charged_in_full_and_the_next_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    limits = RateLimits(lambda _: LIMITS, refusals_per_minute=2, places=PLACES)
    await limits.tokens(ONE)
    await limits.charge(ONE, 99)
    await limits.tokens(ONE)
    await limits.charge(ONE, 401)  # five minutes' worth in one minute
    with pytest.raises(RateLimited):
        await limits.tokens(ONE)
    clock.now += 90  # the window slid past half of it: still too much
    with pytest.raises(RateLimited):
        await limits.tokens(ONE)
    clock.now += 60
    await limits.tokens(ONE)
    await limits.tokens(OTHER)


async def test_documents_are_counted_and_too_many_at_once_will_never_do(
    limits: RateLimits,
) -> None:
    with pytest.raises(TooLarge, match="you may hand in at most 10 documents a minute"):
        await limits.documents(ONE, 11)
    await limits.documents(ONE, 10)
    with pytest.raises(RateLimited):
        await limits.documents(ONE, 1)
    await limits.documents(OTHER, 1)


async def test_requests_without_a_known_key_are_limited_by_address(limits: RateLimits) -> None:
    for _ in range(2):
        await limits.refusal("192.0.2.1")
    with pytest.raises(RateLimited):
        await limits.refusal("192.0.2.1")
    await limits.refusal("192.0.2.2")


async def test_each_kind_has_its_own_places_and_nobody_waits_for_one(limits: RateLimits) -> None:
    async with limits.place("searches", ONE), limits.place("searches", OTHER):
        with pytest.raises(RateLimited) as refused:
            async with limits.place("searches", OTHER):
                pass
        assert refused.value.headers["Retry-After"] == "1"
        async with limits.place("chats", ONE):
            pass
    async with limits.place("searches", ONE), limits.place("searches", OTHER):
        pass


def tenant_of(tenant: str, *keys: str) -> list[Principal]:
    return [Principal(f"{tenant}-{key}", tenant, frozenset(), Role.READER) for key in keys]


async def greedy(limits: RateLimits, keys: Sequence[Principal]) -> Counter[str]:
    """The places that each key holds once all have asked for more than there are, in turn."""
    held: Counter[str] = Counter()
    async with AsyncExitStack() as places:
        for _ in range(100):
            for key in keys:
                with suppress(RateLimited):
                    await places.enter_async_context(limits.place("searches", key))
                    held[key.key_id] += 1
    return held


@pytest.mark.parametrize(
    ("keys", "held"),
    [
        (tenant_of("a", "1"), [24]),
        (tenant_of("a", "1", "2"), [16, 16]),
        (tenant_of("a", *"12345678"), [4] * 8),  # two thirds for their tenant
        (tenant_of("a", "1") + tenant_of("b", "1"), [16, 16]),
        (tenant_of("a", *"12345678") + tenant_of("b", "1"), [4] * 6 + [3, 3] + [9]),
    ],
)
async def test_no_key_takes_all_places_and_no_tenant(
    keys: list[Principal], held: list[int]
) -> None:
    limits = RateLimits(lambda _: LIMITS, refusals_per_minute=2, places={"searches": 48})
    taken = await greedy(limits, keys)
    assert sorted(taken.values()) == sorted(held)
    assert await greedy(limits, keys) == taken  # all are free again


async def test_who_comes_next_finds_a_place_whatever_a_tenant_holds() -> None:
    limits = RateLimits(lambda _: LIMITS, refusals_per_minute=2, places={"searches": 12})
    async with AsyncExitStack() as places:
        for key in tenant_of("a", *"123456789"):
            with suppress(RateLimited):
                await places.enter_async_context(limits.place("searches", key))
        for newcomer in tenant_of("b", "1") + tenant_of("c", "1"):
            async with limits.place("searches", newcomer):
                pass


async def test_a_place_is_free_again_whatever_happened(limits: RateLimits) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with limits.place("chats", ONE):
                raise ZeroDivisionError
    async with limits.place("chats", ONE):
        pass
