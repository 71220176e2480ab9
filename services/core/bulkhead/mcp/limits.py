"""How much one caller may ask for: a token bucket and a count of running requests."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bulkhead.auth import Principal
from bulkhead.errors import RateLimited

_REMEMBERED = 1024
"""Callers above which those that have been idle are forgotten."""


@dataclass(slots=True)
class _Caller:
    tokens: float
    seen: float
    running: int = 0


class CallerLimits:
    """Bounds the rate and the concurrency of each caller; callers do not touch each other."""

    def __init__(
        self,
        *,
        per_second: float,
        burst: int,
        concurrent: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._concurrent = concurrent
        self._clock = clock
        self._callers: dict[tuple[str, str], _Caller] = {}

    @contextmanager
    def admit(self, principal: Principal) -> Iterator[None]:
        """Counts one request while it runs; raises `RateLimited` instead when it is too many."""
        caller = self._caller(principal)
        if caller.tokens < 1:
            wait = math.ceil((1 - caller.tokens) / self._per_second)
            raise RateLimited(
                f"more than {self._per_second:g} requests a second; try again in {wait} s", wait
            )
        if caller.running >= self._concurrent:
            raise RateLimited(
                f"{self._concurrent} requests are running already; wait for one to end", 1
            )
        caller.tokens -= 1
        caller.running += 1
        try:
            yield
        finally:
            caller.running -= 1

    def _caller(self, principal: Principal) -> _Caller:
        now = self._clock()
        if len(self._callers) > _REMEMBERED:
            self._forget_idle(now)
        key = (principal.tenant, principal.key_id)
        caller = self._callers.setdefault(key, _Caller(self._burst, now))
        caller.tokens = self._refilled(caller, now)
        caller.seen = now
        return caller

    def _refilled(self, caller: _Caller, now: float) -> float:
        return min(self._burst, caller.tokens + (now - caller.seen) * self._per_second)

    def _forget_idle(self, now: float) -> None:
        self._callers = {
            key: caller
            for key, caller in self._callers.items()
            if caller.running or self._refilled(caller, now) < self._burst
        }
