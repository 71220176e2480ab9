"""What parsing takes and gives: limits, the parsed document, the error."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from parser.markdown import Heading

MIB = 1024 * 1024

ErrorCode = Literal[
    "unsupported", "invalid", "too_large", "encrypted", "empty", "timeout", "crashed", "plugin"
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
    max_expanded_bytes: int = 64 * MIB  # of the XML in a zip, which costs ten times that to read

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


WarningCode = Literal[
    "bad_bytes",
    "charset_guessed",
    "cut_short",
    "hidden_left_out",
    "no_text",
    "not_read",
    "ocr",
    "readers_differ",
    "unknown_values",
]
"""What was lost or guessed; docs/operations.md has a row for each."""


@dataclass(frozen=True)
class Ocr:
    """How pictures are read: in which languages, and how long and how much of a document."""

    folder: Path | None = None
    languages: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Languages that were asked for, whose data is not there."""
    seconds: float = 120.0
    max_pages: int = 500

    def __str__(self) -> str:
        return "+".join(self.languages)


_MOST_WARNINGS = 50


@dataclass(frozen=True)
class Warned:
    """Something that a reader of the document should know of its text, in words for its owner.

    `pages` are numbered from 1.
    """

    code: WarningCode
    message: str
    pages: tuple[int, ...] = ()


@dataclass
class Reading:
    """One document being read: what is known of it beforehand, and what is warned of."""

    limits: ParseLimits
    name: str = ""
    charset: str | None = None
    """What whoever sent the file declared."""
    ocr: Ocr = field(default_factory=Ocr)
    depth: int = 0
    """How many documents this one lies in: a mail's attachments are read like files."""
    warnings: list[Warned] = field(default_factory=list)

    def warn(self, code: WarningCode, message: str, pages: Sequence[int] = ()) -> None:
        """Note a warning; the same one again is one."""
        warned = Warned(code, message, tuple(pages))
        if warned not in self.warnings and len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(warned)


Metadata = dict[str, str | int | float | bool]
"""Keys of letters, digits, `_` and `-`."""


@dataclass(frozen=True)
class Extracted:
    """What one format's reader found; `pages` as in Parsed."""

    text: str
    title: str | None = None
    pages: tuple[int, ...] = ()
    metadata: Metadata = field(default_factory=dict)


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
    metadata: Metadata = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """It as the reply has it; headings as lists of offset, level and words."""
        return vars(self) | {
            "headings": [tuple(one) for one in self.headings],
            "warnings": [vars(one) for one in self.warnings],
        }
