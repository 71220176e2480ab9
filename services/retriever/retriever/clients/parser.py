"""The parser: a document's bytes in, its text with pages, headings and warnings out."""

import random
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from opentelemetry.propagate import inject

from bulkhead.errors import ApiError, Unavailable
from retriever.parsed import Heading, Parsed, Warned

PART = "parser"
_CHECK = aiohttp.ClientTimeout(total=2.0)
_MOST_BYTES = 256 * 2**20
"""Of an answer: a parser that a document took over does not fill this process's memory."""
_IDLE_SECONDS = 2.0  # uvicorn closes a connection that has been idle for 5 s; ours end before


class Unreadable(ApiError):
    """A document that cannot be read, in words for its owner."""

    status, type = 422, "unreadable"


class Lost(Unavailable):
    """The parser went away while it was reading; the document may be why."""


class ParserClient:
    """Calls the parsers whose sockets lie in a folder, each time the one with the least to do.

    Replicas come and go: the folder is looked at for every call. Every call raises
    `Unavailable("parser")` when none can be reached. Parsers behind an address are told apart by
    whoever spreads connections over them.
    """

    def __init__(self, where: Path | str, timeout: float) -> None:
        """`where`: the folder of the sockets, or the address that all parsers share.

        `timeout`: seconds for one document, its wait for a free process included.
        """
        self._where = where
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._sessions: dict[Path | str, aiohttp.ClientSession] = {}
        self._busy: Counter[Path | str] = Counter()

    async def parse(self, data: bytes, name: str, media_type: str | None) -> Parsed:
        """The text of a document called `name`.

        Raises `Unreadable`, and `Lost` when its parser ended meanwhile.
        """
        headers = {"content-type": media_type or "application/octet-stream"}
        path = f"/v1/parse?name={quote(name)}"
        status, body = await self._call("POST", path, self._timeout, headers, data)
        told = orjson.loads(body)
        if status != 200:
            raise Unreadable(told["error"]["message"])
        return Parsed(
            text=told["text"],
            title=told["title"],
            media_type=told["media_type"],
            pages=tuple(told["pages"]),
            markdown=told["markdown"],
            headings=tuple(Heading(*one) for one in told["headings"]),
            seconds=told["seconds"],
            file_metadata=told["metadata"],
            warnings=tuple(
                Warned(one["code"], one["message"], tuple(one["pages"])) for one in told["warnings"]
            ),
            parser=told["parser"],
        )

    async def version(self) -> str:
        """Which parser it is: while it stays the same bytes give the same text."""
        status, body = await self._call("GET", "/v1/parser", _CHECK)
        if status != 200:
            raise Unavailable(PART, "the parser does not say which one it is")
        return str(orjson.loads(body)["parser"])

    async def check(self) -> None:
        """Raises `Unavailable` unless a parser says that it can read."""
        status, _ = await self._call("GET", "/readyz", _CHECK)
        if status != 200:
            raise Unavailable(PART, "the parser cannot read now")

    async def close(self) -> None:
        """Close the connections."""
        for session in self._sessions.values():
            await session.close()

    async def _call(
        self,
        method: str,
        path: str,
        within: aiohttp.ClientTimeout,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> tuple[int, bytes]:
        headers = dict(headers or {})
        inject(headers)  # the trace goes along
        for parser in self._by_load():
            self._busy[parser] += 1
            try:
                return await self._ask(
                    parser, method, path, headers=headers, data=data, timeout=within
                )
            except aiohttp.ClientConnectorError:
                continue  # a socket that a parser left behind
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Lost(
                    PART, f"the parser broke off its answer ({type(error).__name__})"
                ) from error
            finally:
                self._busy[parser] -= 1
        raise Unavailable(PART, "the parser does not answer")

    async def _ask(
        self, parser: Path | str, method: str, path: str, **given: Any
    ) -> tuple[int, bytes]:
        if parser not in self._sessions:
            self._sessions[parser] = _session(parser)
        async with self._sessions[parser].request(method, path, **given) as answer:
            body = bytearray()
            async for block in answer.content.iter_any():
                body += block
                if len(body) > _MOST_BYTES:
                    raise Unreadable("The parser's answer is larger than any text may be.")
            if answer.status >= 500:
                raise aiohttp.ServerConnectionError(f"status {answer.status}")
            return answer.status, bytes(body)

    def _by_load(self) -> list[Path | str]:
        if isinstance(self._where, str):
            return [self._where]
        sockets: list[Path | str] = list(self._where.glob("*.sock"))
        random.shuffle(sockets)
        return sorted(sockets, key=self._busy.__getitem__)


def _session(parser: Path | str) -> aiohttp.ClientSession:
    if isinstance(parser, str):
        connector: aiohttp.BaseConnector = aiohttp.TCPConnector(keepalive_timeout=_IDLE_SECONDS)
        return aiohttp.ClientSession(parser, connector=connector)
    connector = aiohttp.UnixConnector(str(parser), keepalive_timeout=_IDLE_SECONDS)
    return aiohttp.ClientSession("http://parser", connector=connector)
