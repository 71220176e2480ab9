"""A chain of lines: each holds the hash of the one before it, so a change anywhere shows.

The chain has no secret: whoever may write both the lines and their head can make a new chain. So a
head that is kept elsewhere is what proves the past to somebody who does not trust the machine.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_GENESIS = "0" * 64


class ChainError(Exception):
    """A line that is not what was written, or one that is missing; the message names it."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a chain: its number from 1, its hash, and the bytes up to its end."""

    seq: int = 0
    hash: str = _GENESIS
    size: int = 0

    def dump(self) -> bytes:
        """As the head's file holds it."""
        return _canonical({"seq": self.seq, "hash": self.hash, "size": self.size}) + b"\n"

    @classmethod
    def load(cls, data: bytes) -> "Head":
        """What `dump` made; raises `ChainError` for anything else."""
        try:
            fields = json.loads(data)
            head = cls(int(fields["seq"]), str(fields["hash"]), int(fields["size"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ChainError("the head cannot be read") from error
        if head.dump() != data:
            raise ChainError("the head is not as it was written")
        return head


def seal(fields: dict[str, Any], head: Head) -> tuple[bytes, Head]:
    """`fields` as the line after `head`, and the head that it makes."""
    numbered = {**fields, "seq": head.seq + 1, "prev": head.hash}
    digest = hashlib.sha256(_canonical(numbered)).hexdigest()
    line = _canonical({**numbered, "hash": digest}) + b"\n"
    return line, Head(head.seq + 1, digest, head.size + len(line))


def follow(line: bytes, head: Head) -> Head:
    """The head after `line`, which must be the one after `head`; else `ChainError` names it."""
    number = head.seq + 1
    try:
        fields = json.loads(line)
        seq, prev, told = fields.pop("seq"), fields.pop("prev"), fields.pop("hash")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ChainError(f"line {number} is not a line of this log") from error
    if seq != number:
        raise ChainError(f"line {number} has the number {seq}: lines are missing or moved")
    if prev != head.hash:
        raise ChainError(f"line {number} does not follow from the line before it")
    # Sealed anew, it must be the same bytes: no field can be added, dropped or written otherwise.
    sealed, after = seal(fields, head)
    if sealed != line or after.hash != told:
        raise ChainError(f"line {number} was changed")
    return after


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check found: the last good line, those after the head, and bytes of a torn line."""

    head: Head
    beyond_head: int
    torn_bytes: int


def verify(lines: Iterable[bytes], kept: Head) -> Verified:
    """Check every line, and that `kept` is one of them. Raises `ChainError` with the first bad one.

    Lines after `kept` are good where the chain holds: the head is written after the lines. A last
    line without its end is what a crash leaves; it was never part of the log.
    """
    head, torn = Head(), 0
    seen = kept == head
    for line in lines:
        if not line.endswith(b"\n"):
            torn = len(line)
            break
        head = follow(line, head)
        if head.seq == kept.seq:
            if head != kept:
                raise ChainError(f"line {head.seq} is not the one that the head names")
            seen = True
    if not seen:
        raise ChainError(f"line {head.seq + 1} is missing: the head names {kept.seq} lines")
    return Verified(head, head.seq - kept.seq, torn)


def _canonical(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
