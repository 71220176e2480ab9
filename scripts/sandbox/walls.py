"""The walls around one container: a script that tries each, and a control where it succeeds."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sandbox.engine import Container, EngineError, Result, beside, inside
from sandbox.scorecard import Finding, Verdict


@dataclass(frozen=True)
class Wall:
    """`script` tries to break it; `held` judges by what the script printed.

    The control is the same script in a plain container with `control` as options: there it has to
    get through, or the script proves nothing.
    """

    name: str
    script: str
    held: Callable[[Result], bool]
    control: Sequence[str] = ()


def _status(field: str) -> str:
    return f"sed -n 's/^{field}:[[:space:]]*//p' /proc/self/status"


_FORKS = 1500  # more than any service's limit

WALLS = (
    Wall(
        "user", "id -u", lambda result: result.last.isdigit() and result.last != "0", ("--user=0",)
    ),
    Wall(
        "root",
        # What is mounted to be read only is tried along with the root, where it is there.
        "for at in / /etc /usr /app /var /files /models /run/secrets; do [ ! -d $at ]"
        " || ! touch $at/.probe || echo wrote $at; done 2>&1; rm -f /.probe /etc/.probe",
        lambda result: (
            result.output.count("Read-only file system") >= 4
            and "wrote" not in result.output
            and "Permission denied" not in result.output
        ),
        ("--user=0",),
    ),
    Wall(
        "capabilities",
        # A user namespace of one's own would bring all of them.
        f"echo $({_status('CapEff')}) $({_status('CapBnd')}) $(unshare -Ur id -u 2>&1)",
        lambda result: bool(re.match(r"0{16} 0{16} .*Operation not permitted", result.last)),
        ("--user=0",),
    ),
    Wall("new privileges", _status("NoNewPrivs"), lambda result: result.last == "1"),
    Wall(
        "seccomp",
        _status("Seccomp"),
        lambda result: result.last == "2",
        ("--security-opt=seccomp=unconfined",),
    ),
    Wall(
        "exec in tmpfs",
        "cd /tmp; cp /bin/true .probe; chmod 0700 .probe; ./.probe 2>&1 && echo ran; rm -f .probe",
        lambda result: "Permission denied" in result.output and "ran" not in result.output,
        ("--user=0",),
    ),
    Wall(
        "full tmpfs",
        "dd if=/dev/zero of=/tmp/.fill bs=1M count=300 2>&1 | grep -v records; rm -f /tmp/.fill",
        lambda result: "No space left" in result.output,
        ("--user=0",),
    ),
    Wall(
        "fork bomb",
        f"n=0; while [ $n -lt {_FORKS} ]; do sleep 2 & n=$((n+1)); echo $n; done 2>&1 | tail -n 1"
        "; sleep 3",
        lambda result: "Cannot fork" in result.output,
        ("--user=0", "--pids-limit=-1"),
    ),
    Wall(
        "engine socket",
        "[ -S /var/run/docker.sock ] && echo there || echo none",
        lambda result: result.last == "none",
        ("--volume=/var/run/docker.sock:/var/run/docker.sock",),
    ),
)


class Controls:
    """What each script does in a plain container, tried once."""

    def __init__(self, image: str) -> None:
        """`image` is any with a shell."""
        self._results = {wall.name: beside(image, wall.script, wall.control) for wall in WALLS}

    def try_walls(self, container: Container) -> Iterator[Finding]:
        """Every wall of one container."""
        for wall in WALLS:
            try:
                judged = _judged(wall, inside(container, wall.script), self._results[wall.name])
            except EngineError as error:
                judged = Verdict.UNPROVEN, str(error)
            yield Finding(container.service, wall.name, *judged)


def _judged(wall: Wall, result: Result, control: Result) -> tuple[Verdict, str]:
    if not wall.held(result):
        return Verdict.OPEN, _short(result)
    if wall.held(control):
        return Verdict.UNPROVEN, f"a plain container is stopped too: {_short(control)}"
    return Verdict.HOLDS, f"{_short(result)} (a plain container: {_short(control)})"


def _short(result: Result) -> str:
    return " / ".join(result.output.splitlines()[-2:])[:160] or f"exit {result.code}, no output"
