"""How JSON comes in: UTF-8, numbers and text that can be sent on, and only so much of each."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header

from bulkhead.errors import InvalidValue, UnsupportedMediaType

MOST_VALUES = 20_000
"""Values in a body. Each may be a mistake to tell of, which takes longer than to read it."""
_DEEPEST = 100
"""Objects and lists inside one another."""
_SIGNS = (b",", b"[", b"{")
_PIECE = 2**16


class JsonRoute(APIRoute):
    """A route whose body is read by `parsed`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with the request's `json` replaced."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handler


class _JsonRequest(Request):
    async def json(self) -> Any:
        refuse_charset(self)
        return parsed(await self.body())


def refuse_charset(request: Request) -> None:
    """Raise `UnsupportedMediaType` where the content type names another charset than UTF-8."""
    if not is_utf8(request.headers.get("content-type")):
        raise UnsupportedMediaType("only UTF-8 is read here")


def is_utf8(kind: str | bytes | None) -> bool:
    """Whether a content type leaves it at UTF-8; it is read as Starlette's form parser reads it."""
    _, options = parse_options_header(kind)
    return options.get(b"charset", b"utf-8").lower() in (b"utf-8", b"utf8")


def parsed(text: bytes | str, most: int = MOST_VALUES) -> Any:
    """The JSON value. A whole number beyond 64 bits becomes a float.

    Raises `json.JSONDecodeError` for what is no JSON, NaN, 1e400, half of a surrogate pair and
    nesting beyond 1,024; `InvalidValue` beyond `most` values, and for what is nested too deeply to
    be written again.
    """
    if _signs(text.encode() if isinstance(text, str) else text, 2 * most) > 2 * most:
        raise InvalidValue(f"the JSON may hold at most {most:,} values")
    value = orjson.loads(text)
    level, seen, depth = [value], 0, 0
    while level:
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        seen += len(inner)
        depth += 1
        if seen > most:
            raise InvalidValue(f"the JSON may hold at most {most:,} values")
        if depth > _DEEPEST:
            raise InvalidValue(f"the JSON may be nested at most {_DEEPEST} deep")
        level = inner
    return value


def _signs(text: bytes, most: int) -> int:
    """Commas and opening brackets outside of strings, where there are more than `most` in all.

    A value has one of them before it, and an empty list or object one of its own: so there are at
    most twice as many as values. To read 60 MB of `[],` takes seconds in which nothing else runs.
    """
    if sum(map(text.count, _SIGNS)) <= most:
        return 0
    seen, inside, at = 0, 0, 0
    while at < len(text) and seen <= most:
        piece = text[at : at + _PIECE]
        while piece.endswith(b"\\") and (more := text[at + len(piece) :][:_PIECE]):
            piece += more  # what a backslash escapes belongs to it
        at += len(piece)
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[inside::2])
        seen += sum(map(outside.count, _SIGNS))
        inside = (inside + len(parts) - 1) % 2
    return seen
