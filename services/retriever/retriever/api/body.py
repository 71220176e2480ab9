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
    """Raise `UnsupportedMediaType` where the content type names another charset than UTF-8.

    The header is read as Starlette's form parser reads it.
    """
    _, options = parse_options_header(request.headers.get("content-type"))
    charset = options.get(b"charset", b"utf-8")
    if charset.lower() not in (b"utf-8", b"utf8"):
        raise UnsupportedMediaType("only UTF-8 is read here")


def parsed(text: bytes | str, most: int = MOST_VALUES) -> Any:
    """The JSON value. A whole number beyond 64 bits becomes a float.

    Raises `json.JSONDecodeError` for what is no JSON, NaN, 1e400, half of a surrogate pair and
    nesting beyond 1,024; `InvalidValue` beyond `most` values, and for what is nested too deeply to
    be written again.
    """
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
