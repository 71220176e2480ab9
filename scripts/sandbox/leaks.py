"""Whether a secret shows anywhere but in its file."""

import json
from collections.abc import Callable, Sequence

from sandbox.engine import Container, beside, docker, inside
from sandbox.scorecard import Finding, Verdict

CANARY = "bh_canary-that-is-no-secret"

_EVERY = "cat /proc/[0-9]*/{} 2>/dev/null | tr '\\0' '\\n'"  # of each process

_PLACES: dict[str, Callable[[Container], str]] = {
    "environments": lambda one: inside(one, _EVERY.format("environ")).output,
    "command lines": lambda one: inside(one, _EVERY.format("cmdline")).output,
    "docker inspect": lambda one: json.dumps(one.facts),
    "its image": lambda one: docker("history", "--no-trunc", one.image).output,
    "its log": lambda one: docker("logs", one.id, check=False).output,
}


def secrets(containers: Sequence[Container]) -> set[str]:
    """Every secret of the stack, as its services read them; nothing of it is printed."""
    found = set()
    for container in containers:
        text = inside(container, "cat /run/secrets/* 2>/dev/null").output
        found |= {word for word in text.split() if len(word) >= 32}
    return found


class Leaks:
    """The stack's secrets, and a search for them that is known to find."""

    def __init__(self, containers: Sequence[Container], image: str) -> None:
        self._known = secrets(containers)
        control = beside(image, _EVERY.format("environ"), [f"--env=CANARY={CANARY}"])
        self._proves = bool(self._known) and CANARY in control.output

    def try_service(self, container: Container) -> Finding:
        """Search every place for every secret; and see who else could read its files."""
        texts = {place: read(container) for place, read in _PLACES.items()}
        leaks = [place for place, text in texts.items() if any(one in text for one in self._known)]
        # A secret that nobody gave is /dev/null there, which holds nothing.
        look = "for one in /run/secrets/*; do [ ! -f $one ] || stat -c %a $one; done"
        modes = inside(container, look).output.split()
        leaks += [f"a file of mode {mode}" for mode in modes if mode not in ("400",)]
        if leaks:
            verdict, words = Verdict.OPEN, f"a secret in {', '.join(leaks)}"
        elif not self._proves:
            verdict, words = Verdict.UNPROVEN, "no secret was found to look for"
        else:
            verdict = Verdict.HOLDS
            words = f"none of {len(self._known)} secrets in {', '.join(_PLACES)}"
        return Finding(container.service, "secrets", verdict, words)
