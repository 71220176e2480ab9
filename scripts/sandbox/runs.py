"""What only a run in the container itself can show: that its limit on processes and its filter of
system calls refuse."""

import time
from collections.abc import Iterator

from sandbox.engine import Container, EngineError, Json, docker, inside
from sandbox.judging import Look, Seen, judged
from sandbox.scorecard import Finding, Verdict

_REFUSALS = {"processes": ("fork bomb", "EAGAIN"), "user namespace": ("user namespace", "EPERM")}
_WITHOUT_LIMIT = 1500
_RESTART_SECONDS = 60


def refused(told: Json, refusal: str) -> Seen:
    """Whether an attempt was refused, by the error that the wall gives.

    A shell tells no error, only that it failed: `EXIT n`. That counts where its control did not.
    """
    control, attempt = told["control"], told["attempt"]
    count = f" after {told['count']}" if "count" in told else ""
    words = f"{attempt}{count}"
    if attempt == "OK":
        return Seen(words, [f"let through{count}"])
    if control != "OK":
        return Seen(words, unknown=[f"the attempt cannot be made here: {control}"])
    if attempt != refusal and not attempt.startswith("EXIT"):
        return Seen(words, unknown=[f"{words} instead of {refusal}"])
    return Seen(words)


def judge(
    container: Container, tool: str | None, limit: int | None, own: Json
) -> Iterator[Finding]:
    """Both walls; `tool` runs the attempts, `limit` is what the kernel lets the container start,
    `own` what they came to in the probe."""
    told: Json | None = None
    why = "nothing in its image can try: it has neither a Python nor a shell"
    if tool:
        try:
            told = inside(container, tool, (limit or _WITHOUT_LIMIT) + 1)
        except EngineError as error:
            why = str(error)
    for name, (wall, refusal) in _REFUSALS.items():
        if told is None:
            yield Finding(container.service, wall, Verdict.UNPROVEN, why)
        else:
            yield judged(
                container, wall, Look(refused(told[name], refusal), refused(own[name], refusal))
            )


def judge_own_kernel(
    container: Container, tool: str | None, limit: int | None, own: Json
) -> Iterator[Finding]:
    """Both walls of a container with a kernel of its own.

    A user namespace is one of that kernel's then, and opens nothing of this machine's. gVisor ends
    at the limit on processes, which counts its own, and with it the container, which the engine
    starts anew.
    """
    if tool not in ("python3", "python"):
        yield from judge(container, None, limit, own)
        return
    told = inside(container, tool, 0)["user namespace"]
    seen = Seen(f"{told['attempt']}, of its own kernel's")
    yield judged(container, "user namespace", Look(seen, refused(own["user namespace"], "EPERM")))
    try:
        told = inside(container, tool, (limit or _WITHOUT_LIMIT) + 1)["processes"]
        seen = refused(told, "EAGAIN")
    except EngineError as error:
        ended = _started_anew(container)
        seen = Seen("its kernel ended, and was started anew", unknown=[] if ended else [str(error)])
    yield judged(container, "fork bomb", Look(seen, refused(own["processes"], "EAGAIN")))


def _started_anew(container: Container) -> bool:
    """Whether the engine has ended a container and runs it again."""
    asked = ("inspect", "--format={{.State.Running}} {{.State.Pid}}", container.id)
    before = f"true {container.facts['State']['Pid']}"
    deadline = time.monotonic() + _RESTART_SECONDS
    while time.monotonic() < deadline:
        now = docker(*asked).output.strip()
        if now != before and now.startswith("true"):
            return True
        time.sleep(0.5)
    return False
