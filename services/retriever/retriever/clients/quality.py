"""Hands a share of the answers to the quality service, behind the answer's back.

Nothing waits for it: a full queue or a service that is down loses samples, and counts them.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import orjson
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.propagate import inject

from bulkhead.logs import request_id
from bulkhead.sampling import sampled
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import EVALUATION_DROPPED

logger = logging.getLogger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=5.0)


@dataclass(frozen=True, slots=True)
class _Waiting:
    body: bytes
    request_id: str
    context: Context


class QualityClient:
    """A bounded queue, and one task that empties it."""

    def __init__(
        self, http: aiohttp.ClientSession, url: str, token: str, share: float, places: int
    ) -> None:
        """`url` is the service's address; `places` answers may wait."""
        self._http = http
        self._url = url.rstrip("/")
        self._token = token
        self._share = share
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(places)

    def offer(
        self,
        response_id: str,
        question: str,
        answer: str,
        sources: Sequence[str],
        supported: bool,
        traffic: str,
    ) -> None:
        """Queue an answer of a user's, if it is drawn. The current trace goes along with it.

        `supported` is what the check of this service says of it.
        """
        if traffic != names.USER_TRAFFIC or not sampled(response_id, self._share, "quality"):
            return
        sample = {
            "response_id": response_id,
            "question": question,
            "answer": answer,
            "sources": list(sources),
            "lexical": "supported" if supported else "unsupported",
        }
        try:
            self._queue.put_nowait(_Waiting(orjson.dumps(sample), request_id.get(), get_current()))
        except asyncio.QueueFull:
            _dropped("sample")

    async def run(self) -> None:
        """Send what waits, until cancelled."""
        while True:
            waiting = await self._queue.get()
            token = attach(waiting.context)
            try:
                await self._send(waiting)
            finally:
                detach(token)

    async def _send(self, waiting: _Waiting) -> None:
        headers = {
            "authorization": f"Bearer {self._token}",
            "content-type": "application/json",
            "x-request-id": waiting.request_id,
        }
        inject(headers)
        try:
            async with self._http.post(
                f"{self._url}/v1/evaluations", data=waiting.body, headers=headers, timeout=_TIMEOUT
            ) as reply:
                reply.raise_for_status()
        except (aiohttp.ClientError, TimeoutError) as error:
            _dropped("send")
            logger.warning("an answer was not evaluated", extra={"reason": type(error).__name__})


def _dropped(stage: str) -> None:
    EVALUATION_DROPPED.add(1, {names.STAGE: stage, names.TRAFFIC: names.USER_TRAFFIC})
