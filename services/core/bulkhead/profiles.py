"""Which parts run that the stack can do without: compose.yaml tells its profiles to each service.

A part that is left out is not asked, not waited for and not down.
"""

import os
from collections.abc import Mapping
from typing import Final

VARIABLE: Final = "BULKHEAD_PROFILES"
OPTIONAL: Final = ("tools", "observability", "quality")


def runs(part: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `part` is there: where nobody tells any profiles, everything counts as there."""
    told = {name.strip() for name in environment.get(VARIABLE, "").split(",") if name.strip()}
    return not told or part in told or "*" in told  # `*`: all of them, to Compose


def left_out(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The parts that do not run, because a person chose so."""
    return [part for part in OPTIONAL if not runs(part, environment)]
