"""`POST /v1/parse`: the bytes of a document in, its text out."""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from bulkhead.disconnect import unless_disconnected
from bulkhead.errors import ApiError
from parser.model import ParseError
from parser.pool import ParserPool

router = APIRouter(tags=["documents"])

_STATUS = {"unsupported": 415, "too_large": 413}


class Unreadable(ApiError):
    """A document that cannot be read; its type is the code of the ParseError."""

    def __init__(self, error: ParseError) -> None:
        super().__init__(error.message)
        self.type = error.code
        self.status = _STATUS.get(error.code, 422)


@router.get("/v1/parser", name="parser.version", summary="Which parser this is")
async def version(request: Request) -> dict[str, str]:
    """Its version: while it stays, the same bytes give the same text."""
    return {"parser": request.app.state.version}


@router.post("/v1/parse", name="document.parse", summary="Read a document")
async def parse(
    request: Request,
    name: Annotated[str, Query(max_length=4000, description="The file's name.")] = "",
) -> Response:
    """The document's text. The body is the file; its `Content-Type` may hold a `charset`.

    A body is taken in when a process is free to read it, so no more of them wait in memory.
    """
    pool: ParserPool = request.app.state.pool
    free: asyncio.Semaphore = request.app.state.free
    async with free:
        with tempfile.NamedTemporaryFile() as file:
            async for block in request.stream():
                file.write(block)
            file.flush()
            work = pool.parse(Path(file.name), name, request.headers.get("content-type"))
            try:
                body = await unless_disconnected(request, work)
            except ParseError as error:
                raise Unreadable(error) from error
    return Response(body, media_type="application/json")
