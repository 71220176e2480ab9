"""A document as text, as the parser gives it."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Heading(NamedTuple):
    """One heading: code-point offset of its line, level 1 to 6, and its words without the marks."""

    offset: int
    level: int
    words: str


class Warned(NamedTuple):
    """What was lost or guessed in reading: a code, words for the owner, and pages from 1."""

    code: str
    message: str
    pages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as text; `pages` are the offsets, in code points, at which they start.

    `markdown`: the text's marks are Markdown's. `file_metadata` is what the file says of itself,
    `parser` the version of what read it, none where nothing had to.
    """

    text: str
    title: str
    media_type: str
    pages: tuple[int, ...] = ()
    markdown: bool = False
    headings: tuple[Heading, ...] = ()
    seconds: float = 0.0
    file_metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    parser: str | None = None


def page_at(pages: Sequence[int], offset: int) -> int | None:
    """The 1-based page that holds code point `offset`, or None for a document without pages."""
    return max(1, bisect_right(pages, offset)) if pages else None
