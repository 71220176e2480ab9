"""How much a key may ask for in a minute: requests, tokens of the model, documents; and how much
may be under way at once, of all keys together and of one.

What may be under way at once is this process's own: a place that a retriever held elsewhere would
stay taken when it dies. In a fleet each has its part of them.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from pydantic import BaseModel, ConfigDict, Field

from bulkhead.auth import Principal
from bulkhead.errors import RateLimited, TooLarge
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import LIMITED
from retriever.windows import Refused, Windows

_MOST = 10**9
_BUSY_SECONDS = 1
"""When to come back after finding no place: of so many, some get free each second."""


class Limits(BaseModel):
    """What a key may use in a minute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: int = Field(ge=1, le=_MOST)
    tokens_per_minute: int = Field(ge=1, le=_MOST)
    documents_per_minute: int = Field(ge=1, le=_MOST)


class Repeated(RateLimited):
    """A refusal like one that this caller was given within the last minute."""


class Places:
    """Places for requests of one kind, of which no key and no tenant can take all.

    Shared by dynamic thresholds (Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2),
    1998): what one may hold depends on how many are free, so some stay free for who comes next. A
    key alone gets half of the places, a tenant's keys together two thirds.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._of_key: Counter[str] = Counter()
        self._of_tenant: Counter[str] = Counter()

    def free_for(self, principal: Principal) -> bool:
        """Whether this key may take one more."""
        return (
            self._of_key[principal.key_id] < self._free
            and self._of_tenant[principal.tenant] < 2 * self._free
        )

    @contextmanager
    def taken(self, principal: Principal) -> Iterator[None]:
        """Hold a place, in the name of the key."""
        counts = (self._of_key, principal.key_id), (self._of_tenant, principal.tenant)
        self._free -= 1
        for count, who in counts:
            count[who] += 1
        try:
            yield
        finally:
            self._free += 1
            for count, who in counts:
                count[who] -= 1
                if not count[who]:
                    del count[who]


class RateLimits:
    """The windows of every key, and of every address whose keys are refused; places for work."""

    def __init__(
        self,
        limits: Callable[[Principal], Limits],
        refusals_per_minute: int,
        places: Mapping[str, int],
        windows: Windows | None = None,
    ) -> None:
        """`limits` says what a principal's key may use; `places` how many of a kind of request are
        served at once, by the whole fleet of `windows`."""
        self._limits = limits
        self.windows = windows or Windows()
        self._places = {kind: Places(self.windows.share(most)) for kind, most in places.items()}
        self._told_of = Windows()
        self._refusals = refusals_per_minute
        self._charges: set[asyncio.Task[None]] = set()

    async def request(self, principal: Principal) -> None:
        """Count a request; raises `RateLimited` when there were too many."""
        most = self._limits(principal).requests_per_minute
        await self._hit(most, "requests", principal.key_id)

    async def documents(self, principal: Principal, documents: int) -> None:
        """Count documents. Raises `RateLimited`, or `TooLarge` where waiting would not help."""
        most = self._limits(principal).documents_per_minute
        reachable = self.windows.share(most) if self.windows.alone else most
        if documents > reachable:
            raise TooLarge(f"you may hand in at most {reachable} documents a minute")
        await self._hit(most, "documents", principal.key_id, documents)

    async def tokens(self, principal: Principal) -> None:
        """Raise `RateLimited` while the answers so far have used up the key's tokens."""
        most = self._limits(principal).tokens_per_minute
        if refused := await self.windows.test(most, "tokens", principal.key_id):
            raise await self._beyond(refused, "tokens", principal.key_id)

    async def charge(self, principal: Principal, tokens: int) -> None:
        """Count the tokens of an answer, also those beyond the limit: the next one waits longer."""
        if tokens > 0:
            most = self._limits(principal).tokens_per_minute
            charge = asyncio.create_task(
                self.windows.charge(most, "tokens", principal.key_id, tokens)
            )
            self._charges.add(charge)
            charge.add_done_callback(self._charges.discard)
            await asyncio.shield(charge)  # who leaves amid it has had the tokens

    @asynccontextmanager
    async def place(self, kind: str, principal: Principal) -> AsyncIterator[None]:
        """Hold one of the places of this kind. Raises `RateLimited` where none is free for the key.

        Nobody waits for a place: beyond what can be served soon, a request that waits only makes
        all others later, and its client may have left by the time it is served.
        """
        places = self._places[kind]
        if not places.free_for(principal):
            message = f"too many {kind} are under way at once"
            raise await self._told(kind, principal.key_id, message, _BUSY_SECONDS)
        with places.taken(principal):
            yield

    async def refusal(self, address: str) -> None:
        """Count a request without a known key; raises `RateLimited` when there were too many."""
        await self._hit(self._refusals, "refusals", address)

    async def _hit(self, most: int, what: str, who: str, cost: int = 1) -> None:
        if refused := await self.windows.hit(most, what, who, cost):
            raise await self._beyond(refused, what, who)

    async def _beyond(self, refused: Refused, what: str, who: str) -> RateLimited:
        return await self._told(what, who, f"at most {refused.most} {what} a minute", refused.wait)

    async def _told(self, what: str, who: str, message: str, wait: int) -> RateLimited:
        """The refusal, counted; of each in a minute this retriever tells one."""
        LIMITED.add(1, {names.LIMIT: what})
        again = await self._told_of.hit(1, f"told {what}", who)
        return (Repeated if again else RateLimited)(message, wait)
