"""The OpenID provider: its keys, found by discovery, kept, and asked for again when they turn.

`OpenID Connect Discovery 1.0` says where its configuration is, RFC 7517 what a set of keys is.
"""

import asyncio
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx2
import jwt

from bulkhead.errors import Unauthenticated, Unavailable
from retriever.login.keys import Keys, read_keys

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 300.0
"""How often the keys are looked at: one that the provider takes back ends within this."""
_BETWEEN_SECONDS = 10.0
"""Least time between two looks, whatever names of keys tokens bring."""
_KEPT_SECONDS = 3600.0
"""How long keys go on without the provider."""
_ANSWER_SECONDS = 5.0
_MOST_BYTES = 2**18
_PART = "login"


class Provider:
    """The keys of one provider."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        issuer: str,
        algorithms: Collection[str],
        relay: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`relay` is a HOST:PORT to dial in the place of the issuer's; `clock` gives seconds."""
        self._http = http
        self._issuer = issuer
        self._algorithms = algorithms
        self._relay = relay
        self._clock = clock
        self._keys: Keys = {}
        self._seen = self._tried = -_KEPT_SECONDS * 2 + clock()
        self._failure = "it was not asked yet"
        self._looking: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def watched(
        cls, issuer: str, algorithms: Collection[str], relay: str, trust: ssl.SSLContext | None
    ) -> AsyncIterator["Provider"]:
        """The provider, looked at again and again while the block lasts."""
        verify = True if trust is None else trust
        async with httpx2.AsyncClient(verify=verify, timeout=_ANSWER_SECONDS) as http:
            provider = cls(http, issuer, algorithms, relay)
            watching = asyncio.create_task(provider._watch())
            try:
                yield provider
            finally:
                tasks = [one for one in (watching, provider._looking) if one]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def key(self, kid: str, algorithm: str) -> jwt.PyJWK:
        """The key of this name.

        A name that is not known has the provider asked once, and then not again for a while. Raises
        `Unauthenticated` when it publishes no such key, `Unavailable` when that cannot be known.
        """
        if not self._holds() or (kid, algorithm) not in self._keys:
            await self._look()
        if not self._holds():
            raise self._down()
        found = self._keys.get((kid, algorithm))
        if found is None and self._failure:
            raise self._down()
        if found is None:
            raise Unauthenticated("the token's key is none that the identity provider publishes")
        return found

    async def check(self) -> None:
        """Raise `Unavailable` when the provider did not answer the last time."""
        if self._failure:
            raise self._down()

    def _holds(self) -> bool:
        return self._clock() - self._seen <= _KEPT_SECONDS

    def _down(self) -> Unavailable:
        return Unavailable(_PART, f"the identity provider cannot be asked: {self._failure}")

    async def _watch(self) -> None:
        while True:
            if self._failure or self._clock() - self._tried >= _EVERY_SECONDS:
                await self._look()
            await asyncio.sleep(1)

    async def _look(self) -> None:
        """Ask for the keys, or wait with others for the answer; nothing where it was just done.

        A task of its own asks: it goes on when who waited for it has left.
        """
        if self._looking is None or self._looking.done():
            if self._clock() - self._tried < _BETWEEN_SECONDS:
                return
            self._tried = self._clock()
            self._looking = asyncio.create_task(self._ask())
        await asyncio.shield(self._looking)

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(2 * _ANSWER_SECONDS):
                keys = await self._published()
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError) as error:
            reason = str(error) or f"no answer ({type(error).__name__})"
            if reason != self._failure:
                logger.warning("the identity provider failed", extra={"reason": reason})
            self._failure = reason
        else:
            self._keys, self._seen, self._failure = keys, self._clock(), ""

    async def _published(self) -> Keys:
        about = await self._json(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if not isinstance(about, dict) or about.get("issuer") != self._issuer:
            raise ValueError("its configuration names another issuer")
        where = about.get("jwks_uri")
        if not isinstance(where, str) or urlsplit(where).scheme != urlsplit(self._issuer).scheme:
            raise ValueError("its configuration has no jwks_uri that can be used")
        return read_keys(await self._json(where), self._algorithms)

    async def _json(self, url: str) -> Any:
        headers = {"Accept": "application/json"}
        extensions = {}
        dialled = httpx2.URL(url)
        if self._relay:
            if dialled.netloc != httpx2.URL(self._issuer).netloc:
                raise ValueError(
                    f"{dialled.host} is another host, to which the relay does not lead"
                )
            # What is asked for, and whose certificate it has to be, stays the issuer's.
            headers["Host"] = dialled.netloc.decode()
            extensions["sni_hostname"] = dialled.host
            host, _, port = self._relay.rpartition(":")
            dialled = dialled.copy_with(host=host, port=int(port))
        request = self._http.stream("GET", dialled, headers=headers, extensions=extensions)
        async with request as reply:
            if reply.status_code != 200:
                raise ValueError(f"{urlsplit(url).path} was answered {reply.status_code}")
            body = bytearray()
            async for chunk in reply.aiter_bytes():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise ValueError(f"{urlsplit(url).path} is too long")
        with suppress(ValueError, RecursionError):
            return json.loads(body)
        raise ValueError(f"{urlsplit(url).path} is no JSON")
