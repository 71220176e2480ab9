"""Whether a secret shows anywhere but in its file."""

import json
from collections.abc import Iterable, Mapping

from sandbox.engine import CANARY, Container, Json, Probe, docker
from sandbox.judging import Look, Seen, judged
from sandbox.scorecard import Finding

_PRIVATE = "400"


def leaks(texts: Mapping[str, str], secrets: Iterable[str], modes: Mapping[str, str]) -> Seen:
    """Where one of the secrets stands, and which of a container's files others may read."""
    known = set(secrets)
    opened = [
        f"a secret in {place}" for place, text in texts.items() if any(one in text for one in known)
    ]
    opened += [f"{file} has mode {mode}" for file, mode in modes.items() if mode != _PRIVATE]
    unknown = [] if known else ["no secret was found to look for"]
    return Seen(f"none of {len(known)} secrets in {', '.join(texts)}", opened, unknown)


def judge(container: Container, probe: Probe, texts: Json, secrets: Iterable[str]) -> Finding:
    """Search every place for every secret of the stack.

    The probe has a canary in each place that the engine tells of; the same search has to find it.
    """
    known, target = set(secrets), texts["target"]
    log = docker("logs", container.id)
    written = {
        "its image": docker("history", "--no-trunc", container.image).output,
        "its log": log.output + log.errors,
    }
    found = leaks(
        {place: target[place] for place in ("environments", "command lines")}
        | {"docker inspect": json.dumps(container.facts)}
        | written,
        known,
        target["modes"],
    )
    bait = {place: texts["own"][place] for place in ("environments", "command lines")}
    bait["docker inspect"] = docker("inspect", probe.id).output
    baits = (leaks({place: text}, [CANARY], {}) for place, text in bait.items())
    return judged(container, "secrets", *(Look(found, one) for one in baits))
