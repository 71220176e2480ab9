"""Zip archives of strangers: every byte that comes out is counted, and XML has no DTD.

Sizes written in the zip may lie. DTDs, which no office program writes, are refused, so there are no
entities; parts that are no XML are read only when a reader asks for them.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable

from parser.model import MIB, ParseError, ParseLimits

MOST_PARTS = 10_000
_BLOCK = 64 * 1024
_XML = (".xml", ".rels", ".opf", ".ncx", ".xhtml", ".vml")


class Archive:
    """A zip archive in memory. `what` names it in errors: "The Word file".

    Raises ParseError `invalid`, `encrypted` or `too_large`, as every method does.
    """

    def __init__(self, data: bytes, what: str, limits: ParseLimits) -> None:
        self._what = what
        self._left = limits.max_expanded_bytes
        self._limit = limits.max_expanded_bytes
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            self._parts = {info.filename: info for info in self._zip.infolist()}
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
            raise self._damaged() from error
        if len(self._parts) > MOST_PARTS:
            raise self._too_large()

    @property
    def names(self) -> list[str]:
        """The parts' names."""
        return list(self._parts)

    def xml(self, name: str) -> bytes:
        """An XML part, which must be there."""
        content = self.read(name)
        if b"<!DOCTYPE" in content.replace(b"\0", b""):  # in UTF-8 or UTF-16
            raise ParseError("invalid", f"{self._what}'s XML holds a DTD, which is not accepted.")
        return content

    def read(self, name: str) -> bytes:
        """Any part, which must be there; its bytes count against the limit."""
        info = self._parts.get(name) or self._by_any_case(name)
        if info is None:
            raise ParseError("invalid", f"{self._what} is damaged: a part of it is missing.")
        if info.flag_bits & 1:
            raise ParseError("encrypted", f"{self._what} is encrypted.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # The standard allows no other, and zipfile unpacks others without bound.
            raise ParseError(
                "invalid", f"{self._what}'s zip archive uses a compression that is not read."
            )
        if info.file_size > self._left:
            raise self._too_large()
        content = bytearray()
        try:
            with self._zip.open(info) as part:
                while block := part.read(_BLOCK):
                    self._left -= len(block)
                    if self._left < 0:
                        raise self._too_large()
                    content += block
        except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError) as error:
            raise self._damaged() from error
        return bytes(content)

    def has(self, name: str) -> bool:
        """Whether a part is there."""
        return name in self._parts or self._by_any_case(name) is not None

    def copy(self, others: Iterable[str] = ()) -> io.BytesIO:
        """A copy for a library: XML stored as it came out, `others` too, and the rest empty."""
        copy, wanted = io.BytesIO(), set(others)
        with zipfile.ZipFile(copy, "w") as target:
            for name in self._parts:
                if name.lower().endswith(_XML):
                    target.writestr(name, self.xml(name))
                else:
                    target.writestr(name, self.read(name) if name in wanted else b"")
        copy.seek(0)
        return copy

    def _by_any_case(self, name: str) -> zipfile.ZipInfo | None:
        found = (one for key, one in self._parts.items() if key.lower() == name.lower())
        return next(found, None)

    def _damaged(self) -> ParseError:
        return ParseError("invalid", f"{self._what}'s zip archive is damaged.")

    def _too_large(self) -> ParseError:
        size = self._limit // MIB
        return ParseError(
            "too_large", f"{self._what} unpacks to more than {size:,} MiB, the limit."
        )
