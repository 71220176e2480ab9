"""How a wall is judged: by what was seen of it, and by the same look at a probe without walls."""

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.engine import Container
from sandbox.scorecard import Finding, Verdict

_SHOWN = 4  # of what is open at the probe: enough to see what an open wall looks like


@dataclass(frozen=True)
class Seen:
    """What one look, or one kind of attempt, found: what is open, and what could not be told.

    `words` says what was seen where nothing is wrong.
    """

    words: str
    opened: Sequence[str] = ()
    unknown: Sequence[str] = ()


@dataclass(frozen=True)
class Look:
    """A look at a container, and the same at the probe in it, which has to be found open."""

    target: Seen
    own: Seen


def judged(container: Container, wall: str, *looks: Look) -> Finding:
    """The finding for one wall: it holds when each look says so, and each has seen an open one."""
    opened = dict.fromkeys(word for look in looks for word in look.target.opened)
    unknown = dict.fromkeys(word for look in looks for word in look.target.unknown)
    blind = [
        f"{look.target.words}, and so it looks where nothing is walled in: {look.own.words}"
        for look in looks
        if not look.own.opened
    ]
    if opened:
        verdict, words = Verdict.OPEN, ", ".join(opened)
    elif unknown or blind:
        verdict, words = Verdict.UNPROVEN, "; ".join([*unknown, *blind])
    else:
        verdict = Verdict.HOLDS
        beside = dict.fromkeys(word for look in looks for word in look.own.opened)
        seen = dict.fromkeys(look.target.words for look in looks)
        words = f"{'; '.join(seen)} (beside it: {', '.join([*beside][:_SHOWN])})"
    return Finding(container.service, wall, verdict, words)
