"""The chain of the audit log: every change of it is found, and the first bad line is named."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkhead.chain import ChainError, Head, seal, verify

Lines = list[bytes]


def chain(length: int) -> tuple[Lines, Head]:
    lines, head = [], Head()
    for n in range(length):
        line, head = seal({"action": "search", "n": n, "name": "é\u2028"}, head)
        lines.append(line)
    return lines, head


def edited(line: bytes, **fields: object) -> bytes:
    """The line with other fields, and everything else as it was."""
    new = {**json.loads(line), **fields}
    return json.dumps(new, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def resealed(lines: Lines) -> Lines:
    """Line 3 changed, and it and all after it sealed anew: what only the head can show."""
    _, head = chain(2)
    new = lines[:2]
    for n in range(2, len(lines)):
        line, head = seal({"action": "other", "n": n}, head)
        new.append(line)
    return new


def test_a_log_that_nobody_touched_is_whole() -> None:
    for length in (0, 1, 5):
        lines, head = chain(length)
        verified = verify(lines, head)
        assert (verified.head, verified.beyond_head, verified.torn_bytes) == (head, 0, 0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda lines: [*lines[:2], edited(lines[2], action="x"), *lines[3:]], "line 3"),
        (lambda lines: [*lines[:2], edited(lines[2], extra=1), *lines[3:]], "line 3"),
        (lambda lines: [*lines[:2], edited(lines[2], hash="0" * 64), *lines[3:]], "line 3"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"n":2', b'"n": 2'), *lines[3:]], "line 3"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"n":2', b'"n":2,"n":2'), *lines[3:]], "3"),
        (lambda lines: lines[:2] + lines[3:], "line 3"),
        (lambda lines: lines[1:], "line 1"),
        (lambda lines: [*lines[:2], lines[3], lines[2], lines[4]], "line 3"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "line 4"),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], "line 3"),
        (lambda lines: [*lines[:2], b"null\n", *lines[2:]], "line 3"),
        (lambda lines: [*lines[:2], b"\xff\xfe\n", *lines[2:]], "line 3"),
        (lambda lines: [*lines[:2], b"[" * 100_000 + b"\n", *lines[2:]], "line 3"),
        (lambda lines: lines[:-1], "line 5 is missing"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "line 5 is missing"),
        (lambda lines: [], "line 1 is missing"),
        (resealed, "line 5"),
    ],
)
def test_every_change_is_found_and_the_line_is_named(
    change: Callable[[Lines], Lines], named: str
) -> None:
    lines, head = chain(5)
    with pytest.raises(ChainError, match=named):
        verify(change(lines), head)


@given(st.integers(1, 6), st.data())
def test_no_byte_can_be_changed(length: int, data: st.DataObject) -> None:
    lines, head = chain(length)
    whole = b"".join(lines)
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    changed = whole[:at] + bytes([other]) + whole[at + 1 :]
    with pytest.raises(ChainError):
        verify(changed.splitlines(keepends=True) if other not in b"\r" else [changed], head)


def test_lines_after_the_head_and_a_torn_one_are_told_and_no_fault() -> None:
    lines, _ = chain(5)
    _, behind = chain(3)
    verified = verify([*lines, b'{"seq":6'], behind)
    assert (verified.head.seq, verified.beyond_head, verified.torn_bytes) == (5, 2, 8)


def test_a_head_comes_back_as_it_was_and_another_form_does_not() -> None:
    _, head = chain(3)
    assert Head.load(head.dump()) == head
    for bad in (b"", b"{}", b"null", b"[]", head.dump() + b" ", head.dump().replace(b":3", b":03")):
        with pytest.raises(ChainError):
            Head.load(bad)
