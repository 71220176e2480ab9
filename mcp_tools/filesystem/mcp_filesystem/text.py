"""Reads text out of an open file, by lines or by bytes, within bounds."""

import codecs
import os
import re
from dataclasses import dataclass
from itertools import islice

from bulkhead.mcp.tools import ToolError

_PROBE_BYTES = 8192


@dataclass(frozen=True)
class Excerpt:
    """Some of a file's text. Offsets and counts are in the unit that was asked for."""

    text: str
    count: int
    total: int
    next_offset: int | None
    """Where to go on; None at the end."""
    replaced_bytes: int
    """Bytes that are not UTF-8; each became U+FFFD."""


def read_bytes(descriptor: int, offset: int, limit: int) -> Excerpt:
    """The text of `limit` bytes from `offset` on; a character cut at the end is left for later.

    Raises `ToolError` for a binary file and for an offset behind the end.
    """
    total = os.fstat(descriptor).st_size
    _check_offset(offset, total, "bytes")
    _refuse_binary(_pread(descriptor, _PROBE_BYTES, 0))
    data = _pread(descriptor, limit, offset)
    _refuse_binary(data)
    end = offset + len(data)
    if end < total:
        whole = len(data) - _cut_character(data)
        data, end = data[:whole], offset + whole
    text, replaced = decode(data)
    return Excerpt(text, len(data), total, end if end < total else None, replaced)


def read_lines(descriptor: int, offset: int, limit: int, max_bytes: int, max_file: int) -> Excerpt:
    """At most `limit` whole lines after the first `offset`, and at most `max_bytes` of them.

    Raises `ToolError` for a binary file, one larger than `max_file`, an offset behind the end, and
    a line that does not fit.
    """
    data = read_whole(descriptor, max_file)
    _refuse_binary(data)
    total = count_lines(data)
    _check_offset(offset, total, "lines")
    start = _end_of_line(data, 0, offset)
    end = _end_of_line(data, start, min(limit, total))
    if end - start > max_bytes:
        end = data.rfind(b"\n", start, start + max_bytes) + 1
        if end <= start:
            raise ToolError(
                f"line {offset + 1} alone is longer than {max_bytes} bytes;"
                f" read it with unit 'bytes' from offset {start} on"
            )
    text, replaced = decode(data[start:end])
    count = count_lines(data[start:end])
    following = offset + count
    return Excerpt(text, count, total, following if following < total else None, replaced)


def read_whole(descriptor: int, limit: int) -> bytes:
    """All bytes of an open file. Raises `ToolError` where they are more than `limit`."""
    data = _pread(descriptor, limit + 1, 0)
    if len(data) > limit:
        raise ToolError(
            f"the file is larger than {limit} bytes, too large to read by lines;"
            " read it with unit 'bytes'"
        )
    return data


def is_binary(data: bytes) -> bool:
    """Whether these bytes are no text: they hold a NUL, as UTF-16 does, too."""
    return b"\0" in data


def count_lines(data: bytes) -> int:
    """How many lines; the last needs no line feed."""
    return data.count(b"\n") + (not data.endswith(b"\n") if data else 0)


def decode(data: bytes) -> tuple[str, int]:
    """The text, with U+FFFD for what is not UTF-8, and how many bytes that was."""
    try:
        return data.decode(), 0
    except UnicodeDecodeError:
        kept = data.decode(errors="ignore").encode()
        return data.decode(errors="replace"), len(data) - len(kept)


def _refuse_binary(data: bytes) -> None:
    if is_binary(data):
        raise ToolError("the file is binary (it holds NUL bytes); only text is read")


def _check_offset(offset: int, total: int, unit: str) -> None:
    if offset > total or (offset == total and total > 0):
        raise ToolError(f"the offset is behind the end; the file has {total} {unit}")


def _end_of_line(data: bytes, start: int, lines: int) -> int:
    """Where the `lines`-th line from `start` ends; the end of the data where there are fewer."""
    if not lines:
        return start
    ends = re.compile(rb"\n").finditer(data, start)
    last = next(islice(ends, lines - 1, None), None)
    return last.end() if last else len(data)


def _cut_character(data: bytes) -> int:
    """How many bytes at the end belong to a character whose rest is missing; never all of them."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    pending = len(decoder.getstate()[0])
    return pending if pending < len(data) else 0


def _pread(descriptor: int, count: int, offset: int) -> bytes:
    """Up to `count` bytes from `offset` on: one read may give less."""
    parts: list[bytes] = []
    while count > 0 and (part := os.pread(descriptor, min(count, 2**20), offset)):
        parts.append(part)
        count -= len(part)
        offset += len(part)
    return b"".join(parts)
