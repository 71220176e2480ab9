"""What parsing takes and gives: limits, the parsed document, the error."""

from dataclasses import dataclass
from typing import Any, Literal

from parser.markdown import Heading

MIB = 1024 * 1024

ErrorCode = Literal[
    "unsupported", "invalid", "too_large", "encrypted", "empty", "timeout", "crashed"
]


class ParseError(Exception):
    """A document that cannot be read: a code for programs and a message for its owner.

    The message never holds the file's name, a path or the file's text.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(code, message)  # both in args, so that it survives pickling
        self.code: ErrorCode = code
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class ParseLimits:
    """The most that one document may be."""

    max_bytes: int = 50 * MIB
    max_pages: int = 2_000
    max_characters: int = 20_000_000
    max_expanded_bytes: int = 200 * MIB  # XML inside a Word file, once decompressed

    def check_bytes(self, size: int) -> None:
        """Raise ParseError `too_large` if a file of `size` bytes is over the limit."""
        if size > self.max_bytes:
            raise ParseError(
                "too_large",
                f"The file has {size / MIB:,.1f} MiB; the limit is {self.max_bytes / MIB:,.1f}.",
            )

    def check_characters(self, count: int) -> None:
        """Raise ParseError `too_large` if `count` characters of text are over the limit."""
        if count > self.max_characters:
            raise ParseError(
                "too_large",
                f"The document holds more than {self.max_characters:,} characters, the limit.",
            )


@dataclass(frozen=True)
class Extracted:
    """What one format's reader found; `pages` as in Parsed."""

    text: str
    title: str | None = None
    pages: tuple[int, ...] = ()


@dataclass(frozen=True)
class Parsed:
    """A document as text.

    `pages[i]` is the code-point offset in `text` at which page i+1 starts; empty where there are
    no pages. `headings` are there when `markdown` is: the text's marks are Markdown's.
    """

    text: str
    title: str
    media_type: str
    pages: tuple[int, ...] = ()
    markdown: bool = False
    headings: tuple[Heading, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """It as the reply has it; headings as lists of offset, level and words."""
        return vars(self) | {"headings": [tuple(one) for one in self.headings]}
