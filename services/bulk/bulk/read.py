"""Reads a piece of a corpus into groups of documents, of a bounded size each."""

import hashlib
import mimetypes
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pyarrow.parquet as pq

from bulk.corpus import Corpus, File, Piece, compression_of, words
from bulk.model import Failed, Found
from bulk.rows import Taking, document
from bulkhead.errors import ApiError
from retriever.api.names import named, refuse_tools
from retriever.ingest.items import NewItem

_STEP_BYTES = 2**20
_ROWS = 64
_TRIES = 3
_PAUSE_SECONDS = 1.0
_LINE_EXTRA = 2**20
"""Bytes that a line may have beside its text's: escapes, metadata."""


def documents(corpus: Corpus, piece: Piece, taking: Taking) -> Iterator[Found | Failed]:
    """The documents of a piece. What cannot be read is among them, with the reason.

    A file system that fails is asked again, from where it failed on.
    """
    given, tries = 0, 0
    while True:
        try:
            for n, one in enumerate(_READERS[piece.kind](corpus, piece, taking)):
                if n >= given:
                    yield one
                    given += 1
                    tries = 0
            return
        except FileNotFoundError:
            yield Failed(_place(piece, given), "it went while it was read")
            return
        except Exception as error:  # whatever a file system, or a damaged file, makes a reader do
            if piece.kind == "files":  # those that were read need not be read again
                piece, given = replace(piece, files=piece.files[given:]), 0
            tries += 1
            if tries == _TRIES or isinstance(error, PermissionError | ValueError):
                yield Failed(_place(piece, given), words(error))
                return
            time.sleep(_PAUSE_SECONDS)


def size(one: Found | Failed) -> int:
    """How many bytes of it are at hand."""
    return len(one.data) if isinstance(one, Found) else 0


def _place(piece: Piece, given: int) -> str:
    if piece.kind == "files":
        return piece.files[min(given, len(piece.files) - 1)].name
    return f"{piece.files[0].name} after {given} documents from {piece.start}"


def _files(corpus: Corpus, piece: Piece, taking: Taking) -> Iterator[Found | Failed]:
    for file in piece.files:
        source = named(file.name)
        if file.size > taking.max_bytes:
            reason = f"a document may hold at most {taking.max_bytes} bytes"
            yield Failed(file.name, reason, source)
            continue
        try:
            if len(source) > 1000 or "\0" in source:
                raise ValueError("a name has at most 1,000 characters")
            source.encode()
            refuse_tools(source, "files")
            data = corpus.read(file, 0, taking.max_bytes + 1)
        except FileNotFoundError:
            yield Failed(file.name, "it went while it was read")
            continue
        except ApiError as error:
            yield Failed(file.name, error.message, source)
            continue
        except UnicodeEncodeError:
            shown = file.name.encode("utf-8", "replace").decode()
            yield Failed(shown, "its name is not Unicode text")
            continue
        except (PermissionError, IsADirectoryError, ValueError) as error:
            yield Failed(file.name, words(error), source)
            continue
        digest = hashlib.sha256(data).hexdigest()
        new = NewItem(
            source=source,
            title=None,
            media_type=_media_type(source),
            groups=tuple(sorted(taking.groups)),
            metadata={},
            upload=file.name,
            digest=digest,
        )
        yield Found(new, data)


def _media_type(name: str) -> str:
    """As HTTP clients call it: so a file is the same document however it is handed in."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _lines(corpus: Corpus, piece: Piece, taking: Taking) -> Iterator[Found | Failed]:
    """Of a file's lines those that begin in the piece."""
    (file,) = piece.files
    start, end = piece.start, piece.end
    data = corpus.read(file, max(0, start - 1), end)
    if start:
        head = data.find(b"\n") + 1
        if not head:
            return  # no line begins here
        data = data[head:]
        start += head - 1
    if not data:
        return
    most = taking.max_bytes + _LINE_EXTRA
    data, whole = _with_last_line(corpus, file, data, end, most)
    at = start
    *lines, last = data.split(b"\n")
    for number, line in enumerate([*lines, last] if last else lines, 1):
        place = f"{file.name}, line {number}" if not piece.start else f"{file.name}, byte {at}"
        at += len(line) + 1
        if len(line) > most or (line is last and not whole):
            yield Failed(place, f"a line has at most {most} bytes")
        elif line.strip():
            yield _of_line(line, place, taking, first=not piece.start and number == 1)


def _with_last_line(
    corpus: Corpus, file: File, data: bytes, end: int, most: int
) -> tuple[bytes, bool]:
    """The bytes with the rest of their last line, and whether that is all of it."""
    made = bytearray(data)
    begins = made.rfind(b"\n") + 1
    if begins == len(made):
        return data, True
    while end < file.size and len(made) - begins <= most:
        more = corpus.read(file, end, min(end + _STEP_BYTES, file.size))
        if not more:
            break
        end += len(more)
        if (stop := more.find(b"\n")) >= 0:
            made += more[:stop]
            break
        made += more
    return bytes(made), len(made) - begins <= most


def _packed_lines(corpus: Corpus, piece: Piece, taking: Taking) -> Iterator[Found | Failed]:
    """The lines of a packed file, which can be read from its beginning alone."""
    (file,) = piece.files
    most = taking.max_bytes + _LINE_EXTRA
    with corpus.open(file, compression_of(file.name)) as opened:
        number, within = 0, True
        while line := opened.readline(most):
            whole = line.endswith(b"\n") or len(line) < most
            if not within:  # the rest of one that was too long
                within = whole
                continue
            number += 1
            place = f"{file.name}, line {number}"
            within = whole
            if not whole:
                yield Failed(place, f"a line has at most {most} bytes")
            elif line.strip():
                yield _of_line(line, place, taking, first=number == 1)


def _of_line(line: bytes, place: str, taking: Taking, first: bool) -> Found | Failed:
    if first:
        line = line.removeprefix(b"\xef\xbb\xbf")
    try:
        row: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        try:
            line.decode()
        except UnicodeDecodeError as wrong:
            return Failed(place, f"not UTF-8 at byte {wrong.start} of the line")
        return Failed(place, f"not JSON: {words(error)}")
    return document(row, place, taking)


def _parquet(corpus: Corpus, piece: Piece, taking: Taking) -> Iterator[Found | Failed]:
    (file,) = piece.files
    with corpus.open(file) as opened:
        table = pq.ParquetFile(opened)
        if taking.columns.text not in table.schema_arrow.names:
            reason = f"it has no column {taking.columns.text!r}: --text names another"
            yield Failed(file.name, reason)
            return
        number = piece.first
        groups = range(piece.start, piece.end)
        for batch in table.iter_batches(_ROWS, row_groups=list(groups)):
            for row in batch.to_pylist():
                number += 1
                yield document(row, f"{file.name}, row {number}", taking)


_READERS = {
    "files": _files,
    "lines": _lines,
    "packed-lines": _packed_lines,
    "parquet": _parquet,
}
