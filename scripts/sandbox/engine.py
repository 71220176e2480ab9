"""The Docker engine through its command line: the stack's containers, and programs in and beside
each of them."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_PROBES = Path(__file__).with_name("probes")
_TRIES = 5
_NOT_STARTED = (125, 126, 127)  # the engine's own: it could not start the command
CANARY = "bh_canary-that-is-no-secret"
"""A word in the probe's environment and command line, to be found as a secret would be."""
# What a probe has and no service may have: root, a way into another's root, no filter of system
# calls and no limits. Nothing that it prints is kept: it may be a secret.
_BESIDE = (
    *("--rm", "--interactive", "--log-driver=none", "--label=bulkhead.sandbox-probe"),
    f"--env=CANARY={CANARY}",
    *("--user=0:0", "--cap-add=SYS_PTRACE", "--tmpfs=/open:rw,exec,suid,dev", "--pids-limit=-1"),
    *("--security-opt=no-new-privileges=false", "--security-opt=seccomp=unconfined"),
    *("--security-opt=apparmor=unconfined", "--security-opt=label=disable"),
    # The engine's control groups, by their whole paths: a kernel of its own has none of these.
    *("--cgroupns=host", "--volume=/sys/fs/cgroup:/cgroups:ro"),
)
_ROOT = ("--privileged", "--user=0:0")
_WAIT = "import sys; print('here', flush=True); sys.stdin.read()"


class EngineError(Exception):
    """The engine, or the stack, cannot be asked; one line for a person."""


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it printed."""

    code: int
    output: str
    errors: str = ""

    @property
    def words(self) -> str:
        """Its last line, and how it ended."""
        lines = (self.output + self.errors).splitlines()
        return f"{lines[-1].strip() if lines else 'no output'} (status {self.code})"


@dataclass(frozen=True)
class Place:
    """Where a container is on one network."""

    address: str
    gateway: str


@dataclass(frozen=True)
class Container:
    """A running container of the stack; `facts` is all that `docker inspect` says."""

    service: str
    id: str
    image: str
    places: dict[str, Place]
    facts: Json

    @property
    def runtime(self) -> str:
        """What runs it, by the engine's name for it."""
        return str(self.facts["HostConfig"].get("Runtime") or "")


def docker(*command: str, seconds: float = 60, check: bool = True, said: str = "") -> Result:
    """Run `docker …`, told `said`. Raises `EngineError` when it cannot, or, with `check`, when it
    fails."""
    try:
        done = subprocess.run(
            ["docker", *command],  # noqa: S607 - whichever the PATH has
            input=said,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except FileNotFoundError as error:
        raise EngineError("the command docker is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"docker {command[0]} gave no answer in {seconds:.0f} s") from error
    result = Result(done.returncode, done.stdout, done.stderr)
    if check and result.code:
        raise EngineError(f"docker {command[0]}: {result.words}")
    return result


def containers(project: str) -> list[Container]:
    """The stack's running containers, by service. Raises `EngineError` when there are none."""
    label = f"label=com.docker.compose.project={project}"
    ids = docker("ps", "--quiet", "--no-trunc", "--filter", label).output.split()
    if not ids:
        raise EngineError(
            f"no container of '{project}' is running: start it with docker compose up"
        )
    found = [_container(facts) for facts in json.loads(docker("inspect", *ids).output)]
    return sorted(found, key=lambda container: container.service)


def _container(facts: Json) -> Container:
    networks: dict[str, Json] = facts["NetworkSettings"]["Networks"]
    places = {
        name: Place(place["IPAddress"], _gateway(name))
        for name, place in networks.items()
        if place["IPAddress"]
    }
    service = facts["Config"]["Labels"]["com.docker.compose.service"]
    return Container(service, facts["Id"], facts["Image"], places, facts)


def _gateway(network: str) -> str:
    """The address that the host has, or would have, on a network."""
    template = "{{range .IPAM.Config}}{{.Gateway}}{{end}}"
    return docker("network", "inspect", network, "--format", template).output.strip()


@dataclass(frozen=True)
class Probe:
    """A container without walls, of an image whose Python is known; or `within` another."""

    id: str
    options: tuple[str, ...] = ()

    def ask(self, program: str, *arguments: str, seconds: float = 60) -> Json:
        """What a program of `probes/` prints here. Raises `EngineError` when it does not."""
        text = (_PROBES / program).read_text(encoding="utf-8")
        command = ("exec", "--interactive", *self.options, self.id, "python3", "-", *arguments)
        return _told(docker(*command, said=text, seconds=seconds, check=False))


def within(container: Container, root: bool = False) -> Probe:
    """A container's own Python: all that looks into one that has a kernel of its own.

    It runs as the container's user, or as root with every capability.
    """
    return Probe(container.id, _ROOT if root else ())


def default_runtime() -> str:
    """What runs a container that names nothing else. Raises `EngineError`."""
    return docker("info", "--format", "{{.DefaultRuntime}}").output.strip()


@contextmanager
def beside(
    image: str, container: Container | None = None, own_kernel: bool = False
) -> Iterator[Probe]:
    """A probe while the block runs; it joins a container's network and processes, and no more.

    Whose kernel is its own has no processes here to join: the probe is among the machine's then,
    where whoever runs that kernel is. It ends when this process does, however that is. Raises
    `EngineError` when it cannot start.
    """
    joined: tuple[str, ...] = ()
    if container is not None:
        if container.facts["HostConfig"]["PidMode"]:
            raise EngineError("its processes are not apart from others': no probe goes there")
        processes = "host" if own_kernel else f"container:{container.id}"
        joined = (f"--network=container:{container.id}", f"--pid={processes}")
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder, "id")
        command = ["docker", "run", f"--cidfile={named}", *_BESIDE, *joined]
        command += ["--entrypoint=python3", image, "-c", _WAIT, CANARY]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin and process.stdout and process.stderr
            if process.stdout.readline() != "here\n":
                said = (process.stderr.read().splitlines() or [""])[0]
                raise EngineError(f"no probe starts beside it: {said}")
            try:
                yield Probe(named.read_text())
            finally:
                process.stdin.close()


def inside(container: Container, tool: str, most: int) -> Json:
    """What `probes/runs` prints in the container itself, by its own `python3` or `sh`.

    Raises `EngineError` when that does not run. It is tried a few times, for a container at its
    limit of processes has no room for another one.
    """
    program, dash, read = ("runs.sh", "-s", _statuses) if tool == "sh" else ("runs.py", "-", _told)
    text = (_PROBES / program).read_text(encoding="utf-8")
    for _ in range(_TRIES):
        command = ("exec", "--interactive", container.id, tool, dash, str(most))
        result = docker(*command, said=text, check=False)
        if result.code not in _NOT_STARTED:
            return read(result)
        time.sleep(1)
    raise EngineError(f"its {tool} does not start: {result.words}")


def _told(result: Result) -> Json:
    """The JSON that a probe printed."""
    try:
        told = json.loads(result.output)
    except ValueError:
        told = None
    if result.code or not isinstance(told, dict):
        raise EngineError(f"the probe ended early: {result.words}")
    return told


def _statuses(result: Result) -> Json:
    """The lines of `runs.sh` as `runs.py` has them; `EXIT n` is a status without a name."""
    found: Json = {}
    count = 0
    for line in result.output.splitlines():
        words = line.split()
        if len(words) == 1:
            count = int(words[0])
        else:
            control, attempt = ("OK" if one == "0" else f"EXIT {one}" for one in words[1:])
            found[words[0].replace("-", " ")] = {"control": control, "attempt": attempt}
    if len(found) != 2:
        raise EngineError(f"the probe ended early: {result.words}")
    found["processes"]["count"] = count
    return found
