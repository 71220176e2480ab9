"""Sliding windows of a minute: in Valkey for all retrievers together, or in memory for each.

In memory a limit is divided by the number of retrievers. So it is while Valkey does not answer: a
limit that only a neighbour can enforce would be an open door without it, or a shut one.
"""

import logging
import math
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from bulkhead.telemetry.instruments import LIMITS_ALONE

logger = logging.getLogger(__name__)

_AWAY_SECONDS = 1.0
"""How long it is not asked after it failed, so that not every request waits."""

T = TypeVar("T")


@dataclass(frozen=True)
class Valkey:
    """Where the windows of a fleet are."""

    url: str
    """`valkey://`, or `valkeys://` for TLS."""
    password: str = ""
    ca_file: Path | None = None
    """In PEM, whom to trust with TLS; none: whom the system trusts."""
    timeout: float = 0.5
    """How many seconds it may take for an answer: a request waits for it."""


@dataclass(frozen=True)
class Refused:
    """At most so much a minute, and some of it again after `wait` seconds."""

    most: int
    wait: int


class _Counts:
    """The windows in one storage."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._windows = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, most: int, what: str, who: str, cost: int) -> Refused | None:
        item = RateLimitItemPerMinute(most)
        if await self._windows.hit(item, what, who, cost=cost):
            return None
        return await self._refused(item, what, who)

    async def test(self, most: int, what: str, who: str) -> Refused | None:
        item = RateLimitItemPerMinute(most)
        if await self._windows.test(item, what, who):
            return None
        return await self._refused(item, what, who)

    async def charge(self, most: int, what: str, who: str, cost: int) -> None:
        item = RateLimitItemPerMinute(most)
        await self._storage.acquire_sliding_window_entry(
            item.key_for(what, who), sys.maxsize, item.get_expiry(), cost
        )

    async def _refused(self, item: RateLimitItemPerMinute, what: str, who: str) -> Refused:
        stats = await self._windows.get_window_stats(item, what, who)
        return Refused(item.amount, min(60, max(1, math.ceil(stats.reset_time - time.time()))))


class Windows:
    """The windows that count."""

    def __init__(self, replicas: int = 1, valkey: Valkey | None = None) -> None:
        self._replicas = replicas
        self._own = _Counts(MemoryStorage())
        self._shared: _Counts | None = None
        self._faults: tuple[type[Exception], ...] = ()
        self._away_until = 0.0
        self.failure = ""
        """Why Valkey is not what counts now, if it should be."""
        if valkey is not None:
            storage = RedisStorage(f"async+{valkey.url}", key_prefix="bulkhead", **_options(valkey))
            base = storage.base_exceptions
            self._faults = (*(base if isinstance(base, tuple) else (base,)), OSError)
            self._shared = _Counts(storage)

    def share(self, most: int) -> int:
        """This retriever's part of a limit, where it counts for itself."""
        return max(1, most // self._replicas)

    @property
    def alone(self) -> bool:
        """Whether it counts for itself, by its settings."""
        return self._shared is None

    async def hit(self, most: int, what: str, who: str, cost: int = 1) -> Refused | None:
        """Count `cost`, if it is within `most` a minute."""
        return await self._counted(lambda counts, most: counts.hit(most, what, who, cost), most)

    async def test(self, most: int, what: str, who: str) -> Refused | None:
        """Whether there is anything left, and count nothing."""
        return await self._counted(lambda counts, most: counts.test(most, what, who), most)

    async def charge(self, most: int, what: str, who: str, cost: int) -> None:
        """Count `cost`, also beyond `most`."""
        await self._counted(lambda counts, most: counts.charge(most, what, who, cost), most)

    async def check(self) -> None:
        """See whether Valkey counts again."""
        if self._shared is not None:
            await self.test(1, "check", "")

    async def _counted(self, count: Callable[[_Counts, int], Awaitable[T]], most: int) -> T:
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                counted = await count(self._shared, most)
            except self._faults as error:
                self._fails(error)
            else:
                if self.failure:
                    logger.warning("Valkey counts again")
                self.failure, self._away_until = "", 0.0
                return counted
        if self._shared is not None:
            LIMITS_ALONE.add(1)
        return await count(self._own, self.share(most))

    def _fails(self, error: Exception) -> None:
        if not self.failure:
            logger.warning("Valkey fails", extra={"reason": f"{type(error).__name__}: {error}"})
        self.failure = (
            f"Valkey does not count ({type(error).__name__}): each retriever has a limit's "
            f"part, of {self._replicas}"
        )
        self._away_until = time.monotonic() + _AWAY_SECONDS


def _options(valkey: Valkey) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": valkey.timeout,
        "socket_connect_timeout": valkey.timeout,
    }
    if valkey.password:
        options["password"] = valkey.password
    if valkey.ca_file:
        options["ssl_ca_certs"] = str(valkey.ca_file)
    return options
