"""HTML entities that spell an address, read as the characters that they stand for."""

import html
import re

_ENTITY = re.compile(
    r"(?P<before>&[#a-z0-9]{0,32})?"
    r"(?P<entity>&(?:#[0-9]{1,30};?|#x[0-9a-f]{1,30};?|[a-z][a-z0-9]{1,31};))",
    re.IGNORECASE,
)
# With what stands before it, for an entity there could make another one of both.
_UNFINISHED = re.compile(r"(?:&[#a-z0-9]{0,32}+)+\Z", re.IGNORECASE)
_LONGEST = 66
_SPELLS = re.compile(r"[^\W\d_]|[:/\\.@]")
_SPACE = re.compile(r"[\x00-\x20]")


class EntityReader:
    """Gives words on as they come. Nobody needs an entity for a letter, a colon or a slash; those
    for what else a page could not show (`<`, `&`) stay as they are."""

    def __init__(self) -> None:
        self.held = ""
        """The beginning of an entity."""

    def feed(self, words: str) -> str:
        """What is sure of what came."""
        text = self.held + words
        unfinished = _UNFINISHED.search(text, max(0, len(text) - _LONGEST))
        cut = unfinished.start() if unfinished else len(text)
        self.held = text[cut:]
        return _ENTITY.sub(_spelled_out, text[:cut])

    def end(self) -> str:
        """What is left."""
        rest, self.held = self.held, ""
        return _ENTITY.sub(_spelled_out, rest)


def _spelled_out(found: re.Match[str]) -> str:
    """The character; a space for one that nobody sees, as browsers drop it from an address."""
    before, entity = found["before"] or "", found["entity"]
    character = html.unescape(entity)
    if _SPACE.fullmatch(character):
        character = " "
    elif not _SPELLS.fullmatch(character):
        return found[0]
    return f"{before} {character}" if before else character  # or they would make a new one together
