"""Which kernel stands behind a container: this machine's, or, by its runtime, one of its own."""

from sandbox.engine import Container, Json, within
from sandbox.judging import Look, Seen, judged
from sandbox.scorecard import Finding, Verdict

WALL = "kernel"


def asked(container: Container, default: str) -> Json | None:
    """What answers in a container, where another runtime than the engine's `default` is asked for.

    Raises `EngineError` where its image has no Python to ask with.
    """
    return None if container.runtime in ("", default) else within(container).ask("kernel.py")


def same(one: Json, other: Json) -> bool:
    """Whether two places have one kernel, which starts once and then has a name for that."""
    if one["boot"] and other["boot"]:
        return bool(one["boot"] == other["boot"])
    return bool(one["version"] == other["version"])


def look(runtime: str, there: Json, here: Json) -> Seen:
    """What answers `there`, beside this machine's kernel."""
    log = f", whose log begins with {there['log']!r}" if there["log"] else ""
    words = f"{runtime}: {there['version']}{log}"
    return Seen(words, [f"this machine's, {there['version']}"] if same(there, here) else [])


def judge(container: Container, there: Json | None, beside: Json, here: Json) -> Finding:
    """The finding. `there` is none where no runtime but the engine's own is asked for; `beside`
    and `here` are two probes, which have this machine's kernel."""
    if there is None:
        words = f"this machine's, by {container.runtime or 'the engine'}: no other is asked for"
        return Finding(container.service, WALL, Verdict.ABSENT, words)
    own = look("a probe", beside, here)
    return judged(container, WALL, Look(look(container.runtime, there, here), own))
