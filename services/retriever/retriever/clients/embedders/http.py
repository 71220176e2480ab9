"""A call of a server that embeds or reranks: its key, its pauses, its errors in our words."""

import asyncio
import email.utils
import time
from collections.abc import Mapping
from itertools import chain, repeat
from typing import Any

import aiohttp
import orjson
from opentelemetry.propagate import inject

from bulkhead.errors import Unavailable
from retriever.clients.embedders import PART, Refused, TooLarge

_PAUSES = (1.0, 2.0, 4.0)
"""Between tries that a server turns away without saying when to come again; the last one stays."""
_MOST_BYTES = 256 * 2**20
_NOT_HERE = (404, 405, 501)
_LLAMA_TOO_LARGE = "too large to process"
"""In llama.cpp's 500 for a text that is longer than its physical batch."""


class NotHere(Unavailable):
    """The server has no such call, or no such model."""


class Caller:
    """Calls one server. Nothing that it raises holds its address or its key."""

    def __init__(
        self, http: aiohttp.ClientSession, url: str, key: str = "", part: str = PART
    ) -> None:
        """`part` is what the server is in errors; without a `key` none is sent."""
        self._http = http
        self._url = url.rstrip("/")
        self._headers = {"content-type": "application/json"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"
        self.part = part

    async def json(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, seconds: float
    ) -> Any:
        """The reply, read as JSON; what else comes is `Unavailable`."""
        content, kind = await self._reply(method, path, body, seconds)
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise self.unreadable(f"it sent {kind or 'something'}, not JSON") from error

    async def text(self, path: str, *, seconds: float) -> str:
        """The reply to a GET, as text."""
        content, _ = await self._reply("GET", path, None, seconds)
        return content.decode()

    def unreadable(self, why: str) -> Unavailable:
        """What to raise for a reply of another shape."""
        return Unavailable(self.part, f"the {self.part} server's reply cannot be read: {why}")

    async def _reply(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float
    ) -> tuple[bytes, str]:
        """The body of the reply and its media type, within `seconds`, pauses included."""
        deadline = time.monotonic() + seconds
        data = None if body is None else orjson.dumps(body)
        for usual in chain(_PAUSES, repeat(_PAUSES[-1])):
            left = deadline - time.monotonic()
            status, headers, content = await self._once(method, path, data, left)
            pause = _pause(status, headers, usual)
            if pause is None or time.monotonic() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        self._check(status, content, pause)
        return content, headers.get("content-type", "").partition(";")[0]

    async def _once(
        self, method: str, path: str, data: bytes | None, seconds: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = dict(self._headers)
        inject(headers)  # the trace and its baggage go along
        try:
            async with self._http.request(
                method,
                self._url + path,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,  # the key and the texts go where they were to go
            ) as answer:
                content = bytearray()
                async for read in answer.content.iter_any():
                    content += read
                    if len(content) > _MOST_BYTES:
                        raise self.unreadable("it has no end")
                return answer.status, answer.headers, bytes(content)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(
                self.part, f"the {self.part} server does not answer ({type(error).__name__})"
            ) from error

    def _check(self, status: int, content: bytes, pause: float | None) -> None:
        """Raise what a status says; `pause` is for how long the server turns all away."""
        if status < 300:
            return
        reason = _reason(content)
        said = f": {reason}" if reason else ""
        large = status == 413 or (status == 500 and _LLAMA_TOO_LARGE in reason)
        if large or status in (400, 422):
            kind = TooLarge if large else Refused
            raise kind(self.part, reason or f"the {self.part} server refuses it ({status})")
        if status in _NOT_HERE:
            raise NotHere(
                self.part, f"the {self.part} server has no such call or model ({status}){said}"
            )
        if status in (401, 403):
            raise Unavailable(self.part, f"the {self.part} server refuses the key ({status})")
        later = f", and asks to wait {pause:.0f} s" if pause is not None else ""
        raise Unavailable(self.part, f"the {self.part} server answered {status}{later}{said}")


def _pause(status: int, headers: Mapping[str, str], usual: float) -> float | None:
    """Seconds after which to try again; none where that is of no use."""
    told = headers.get("retry-after")
    if status == 429 or (told and status in (503, 529)):
        return usual if told is None else max(_seconds(told, usual), 0.1)
    return None


def _seconds(told: str, usual: float) -> float:
    """`Retry-After`, in seconds or as a date (RFC 9110, 10.2.3)."""
    try:
        return float(told)
    except ValueError:
        pass
    try:
        return email.utils.parsedate_to_datetime(told).timestamp() - time.time()
    except ValueError:
        return usual


def _reason(content: bytes) -> str:
    """Why the server refuses, in its own words; empty where it gives none.

    OpenAI's shape, TEI's (`error` is text), Cohere's and FastAPI's (`message`, `detail`).
    """
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        return ""
    for key in ("error", "message", "detail"):
        found = told.get(key) if isinstance(told, dict) else None
        if isinstance(found, dict):
            found = found.get("message")
        if isinstance(found, str) and found:
            return found[:500]
    return ""
