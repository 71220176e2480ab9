"""Limits of a fleet: counted in Valkey for all, divided where each counts for itself."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from certificates import self_signed
from pydantic import ValidationError
from valkey_server import PASSWORD, serving_valkey

from bulkhead.auth import Principal, Role
from bulkhead.errors import RateLimited, TooLarge
from retriever.limits import Limits, RateLimits
from retriever.settings import RetrieverSettings
from retriever.windows import Valkey, Windows
from secrets_maker.plan import VALKEY_CONFIGURATION

LIMITS = Limits(requests_per_minute=12, tokens_per_minute=100, documents_per_minute=30)
ONE = Principal("one", "t", frozenset(), Role.READER)


def patient(url: str, password: str, ca_file: Path | None = None) -> Valkey:
    """Of a server that answers, however busy this machine is."""
    return Valkey(url, password, ca_file, timeout=60)


def fleet(size: int, valkey: Valkey | None, *, told: int | None = None) -> list[RateLimits]:
    return [
        RateLimits(lambda _: LIMITS, 6, {"searches": 12}, Windows(told or size, valkey))
        for _ in range(size)
    ]


async def allowed(retrievers: list[RateLimits], rounds: int = 20) -> int:
    """How many of so many requests at each are let in."""
    admitted = Counter[bool]()
    for _ in range(rounds):
        for retriever in retrievers:
            try:
                await retriever.request(ONE)
                admitted[True] += 1
            except RateLimited as error:
                assert 1 <= int(error.headers["Retry-After"]) <= 60
                admitted[False] += 1
    return admitted[True]


async def test_without_valkey_a_fleet_divides_its_limits_and_its_places() -> None:
    retrievers = fleet(3, None)
    assert await allowed(retrievers) == 12
    async with asyncio.timeout(60):
        held = [await _hold(retrievers[0]) for _ in range(2)]  # of four places a key has half
        with pytest.raises(RateLimited):
            await _hold(retrievers[0])
        for leave in held:
            await leave()


async def _hold(retriever: RateLimits) -> Callable[[], Awaitable[object]]:
    place = retriever.place("searches", ONE)
    await place.__aenter__()
    return lambda: place.__aexit__(None, None, None)


async def test_documents_beyond_a_retrievers_part_are_refused_for_good_only_where_it_is_alone(
    tmp_path: Path,
) -> None:
    alone = fleet(3, None)[0]
    with pytest.raises(TooLarge, match="at most 10 documents"):
        await alone.documents(ONE, 11)
    await alone.documents(ONE, 10)
    with serving_valkey(tmp_path) as server:
        first, second, _ = fleet(3, patient(server.url, PASSWORD))
        await first.documents(ONE, 25)
        with pytest.raises(RateLimited, match="at most 30 documents"):
            await second.documents(ONE, 6)
        with pytest.raises(TooLarge, match="at most 30 documents"):
            await second.documents(ONE, 31)


async def test_valkey_counts_for_all_and_tokens_beyond_the_limit_too(tmp_path: Path) -> None:
    with serving_valkey(tmp_path) as server:
        first, second, third = retrievers = fleet(3, patient(server.url, PASSWORD))
        assert await allowed(retrievers) == 12
        await first.tokens(ONE)
        await first.charge(ONE, 60)
        await second.tokens(ONE)
        await second.charge(ONE, 900)
        with pytest.raises(RateLimited, match="at most 100 tokens"):
            await third.tokens(ONE)
        for retriever in (first, second, third):
            await retriever.refusal("192.0.2.1")
            await retriever.refusal("192.0.2.1")
        with pytest.raises(RateLimited):
            await first.refusal("192.0.2.1")
        assert not any(retriever.windows.failure for retriever in retrievers)


async def test_who_leaves_while_its_tokens_are_counted_has_had_them(tmp_path: Path) -> None:
    with serving_valkey(tmp_path) as server:
        (retriever,) = fleet(1, patient(server.url, PASSWORD))
        with anyio.CancelScope() as left:
            left.cancel()
            await retriever.charge(ONE, 900)
        refused = None
        async with asyncio.timeout(60):
            while refused is None:
                refused = await retriever.windows.test(100, "tokens", ONE.key_id)


async def test_while_valkey_is_down_each_takes_its_part_and_when_it_is_back_it_counts_again(
    tmp_path: Path,
) -> None:
    with serving_valkey(tmp_path) as server:
        retrievers = fleet(3, patient(server.url, PASSWORD))
        assert await allowed(retrievers, 1) == 3
        server.stop()
        assert await allowed(retrievers) == 12  # no open door, and not a shut one
        assert all("Valkey does not count" in one.windows.failure for one in retrievers)
        server.start()
        async with asyncio.timeout(60):
            while any(one.windows.failure for one in retrievers):
                for retriever in retrievers:
                    await retriever.windows.check()
                await asyncio.sleep(0.05)
        assert await allowed(retrievers) == 12  # it begins empty


async def test_a_wrong_password_or_a_silent_server_is_told_and_limits_hold(tmp_path: Path) -> None:
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    with serving_valkey(tmp_path) as server:
        for valkey in (patient(server.url, "wrong"), Valkey(f"valkey://127.0.0.1:{port}")):
            (retriever,) = fleet(1, valkey, told=4)
            assert await allowed([retriever]) == 3
            assert "Valkey does not count" in retriever.windows.failure
    silent.close()


async def test_tls_is_asked_of_a_valkey_whose_certificate_is_trusted(tmp_path: Path) -> None:
    key, certificate = self_signed()
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "ca.pem").write_bytes(certificate)
    options = (
        *("--tls-cert-file", str(tmp_path / "ca.pem"), "--tls-key-file", str(tmp_path / "key.pem")),
        *("--tls-auth-clients", "no"),
    )
    with serving_valkey(tmp_path, *options, tls=True) as server:
        for trusted, counts in ((tmp_path / "ca.pem", True), (None, False)):
            (retriever,) = fleet(1, patient(server.url, PASSWORD, trusted))
            await retriever.request(ONE)
            assert bool(retriever.windows.failure) is not counts


async def test_the_stacks_configuration_is_one_that_counts(tmp_path: Path) -> None:
    told = tmp_path / "valkey.conf"
    told.write_text(VALKEY_CONFIGURATION.format(secret=PASSWORD))
    with serving_valkey(tmp_path, configuration=told) as server:
        retrievers = fleet(2, patient(server.url, PASSWORD))
        assert await allowed(retrievers) == 12
        assert not any(retriever.windows.failure for retriever in retrievers)


def test_a_password_has_no_place_in_the_address() -> None:
    for wrong in ("redis://host", "valkey://:secret@host:6379", "valkey://", "host:6379"):
        with pytest.raises(ValidationError):
            RetrieverSettings.model_validate({"valkey_url": wrong})
    assert RetrieverSettings.model_validate({"valkey_url": "valkeys://host:6380/1"}).valkey_url
