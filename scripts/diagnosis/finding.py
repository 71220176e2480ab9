"""One thing that was looked at, and how to mend it where it is not right."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`STOPS`: the stack would not come up. `NOTE`: it will, and something will be missed."""

    FINE = "ok"
    NOTE = "note"
    STOPS = "stops"


@dataclass(frozen=True)
class Finding:
    """What was found, and what to do about it."""

    level: Level
    what: str
    mend: str = ""

    def __str__(self) -> str:
        mark = {Level.FINE: "✓", Level.NOTE: "!", Level.STOPS: "✗"}[self.level]
        return f"  {mark} {self.what}" + (f"\n      {self.mend}" if self.mend else "")


def fine(what: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.FINE, what)


def judged(right: bool, what: str, mend: str, otherwise: Level = Level.STOPS) -> Finding:
    """Fine when `right`; else the level given, with how to mend it."""
    return fine(what) if right else Finding(otherwise, what, mend)
