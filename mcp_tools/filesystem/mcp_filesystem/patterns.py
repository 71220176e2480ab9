"""Patterns of callers, run by RE2: in time proportional to the text, whatever the pattern."""

from typing import Protocol, TypeVar

import re2

from bulkhead.mcp.tools import ToolError

MAX_PROGRAM = 5000
"""Steps that a search may have: counted repetition, above all nested, multiplies them. Three
letters of any script are 3,600."""

Text = TypeVar("Text", str, bytes, contravariant=True)


class Match(Protocol):
    """Where a pattern was found."""

    def start(self) -> int:
        """Offset of its first byte."""


class Pattern(Protocol[Text]):
    """A compiled pattern; `re2` has no types of its own."""

    @property
    def programsize(self) -> int:
        """Steps of the program that it became: what a byte of text can cost."""

    def search(self, text: Text, pos: int = 0, endpos: int | None = None) -> Match | None:
        """The first match from `pos` on, in the text before `endpos`."""

    def fullmatch(self, text: Text) -> Match | None:
        """The match of the whole text."""


def compile_glob(pattern: str) -> Pattern[str]:
    """A pattern for whole paths. Raises `ToolError` where it is none.

    `*` and `?` stay within one name, `**/` stands for any number of folders, `[a-z]` and `[!a]`
    for one character. A pattern without `/` is matched against the name alone, at any depth.
    """
    expression = "" if "/" in pattern else "(?:.*/)?"
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            expression, at = expression + "(?:[^/]+/)*", at + 3
        elif pattern.startswith("**", at):
            expression, at = expression + ".*", at + 2
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            expression, at = expression + _one_of(pattern[at + 1 : end]), end + 1
        else:
            single = {"*": "[^/]*", "?": "[^/]"}
            expression, at = expression + single.get(pattern[at], re2.escape(pattern[at])), at + 1
    try:
        compiled: Pattern[str] = re2.compile(expression, _options())
    except re2.error as error:
        raise ToolError("the glob pattern cannot be read") from error
    return compiled


def compile_search(pattern: str, *, regex: bool, ignore_case: bool) -> Pattern[bytes]:
    """A pattern for bytes of UTF-8 that never matches across lines. Raises `ToolError`."""
    expression = pattern if regex else re2.escape(pattern)
    flags = "(?im)" if ignore_case else "(?m)"
    options = _options()
    options.never_nl = True
    try:
        compiled: Pattern[bytes] = re2.compile((flags + expression).encode(), options)
    except re2.error as error:
        raise ToolError(
            "the pattern is no RE2 regular expression (there is no look-around and there are no"
            " back-references)"
        ) from error
    if regex and compiled.programsize > MAX_PROGRAM:
        raise ToolError("the pattern repeats too much; use smaller counts in {…}, or * and +")
    return compiled


def _one_of(inside: str) -> str:
    negated = inside.startswith("!")
    body = "".join("\\" + one if one in "\\[]^&~|" else one for one in inside[negated:])
    return f"[{'^/' if negated else ''}{body}]"


def _options() -> re2.Options:
    """RE2 with a bound on its memory; it writes nothing to standard error."""
    chosen = re2.Options()
    chosen.max_mem = 8 * 2**20
    chosen.log_errors = False
    return chosen
