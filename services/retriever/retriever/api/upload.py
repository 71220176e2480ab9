"""A multipart body whose fields are UTF-8, whatever a part says of itself."""

import codecs
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from bulkhead.errors import MalformedRequest, UnsupportedMediaType
from retriever.api.body import is_utf8


@asynccontextmanager
async def form_of(request: Request, *, max_files: int, max_fields: int) -> AsyncIterator[FormData]:
    """The form, whose files are closed after it.

    Raises `UnsupportedMediaType` for a field in another charset, `MalformedRequest` for what
    cannot be read, and `OSError` where a large file cannot be set down.
    """
    stream = request.stream()
    parser = _Parser(request.headers, stream, max_files=max_files, max_fields=max_fields)
    try:
        form = await parser.parse()
    except _ForeignCharset as error:
        raise UnsupportedMediaType(error.message) from error
    except MultiPartException as error:
        raise MalformedRequest(f"the multipart body cannot be read: {error.message}") from error
    try:
        yield form
    finally:
        await form.close()


class _ForeignCharset(MultiPartException):
    """A field that is not UTF-8, or says so."""


class _Parser(MultiPartParser):
    """Starlette's, which reads a field that is no UTF-8 as Latin-1 and asks for no part's charset.

    What a file is written in is for the parser to find out.
    """

    def on_part_begin(self) -> None:
        super().on_part_begin()
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        super().on_header_field(data, start, end)
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        super().on_header_value(data, start, end)
        self._value += data[start:end]

    def on_header_end(self) -> None:
        super().on_header_end()
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        _, disposition = parse_options_header(self._headers.get(b"content-disposition"))
        self._decoder: codecs.IncrementalDecoder | None = None
        if b"filename" not in disposition:
            self._decoder = codecs.getincrementaldecoder("utf-8")()
            if not is_utf8(self._headers.get(b"content-type")):
                raise _ForeignCharset("only UTF-8 is read here")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._decoded(data[start:end])
        super().on_part_data(data, start, end)

    def on_part_end(self) -> None:
        self._decoded(b"", final=True)
        super().on_part_end()

    def _decoded(self, data: bytes, final: bool = False) -> None:
        try:
            if self._decoder is not None:
                self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            raise _ForeignCharset("only UTF-8 is read here") from error
