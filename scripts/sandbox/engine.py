"""The Docker engine through its command line: the stack's containers, and a shell in each."""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
_TRIES = 5


class EngineError(Exception):
    """The engine, or the stack, cannot be asked; one line for a person."""


@dataclass(frozen=True)
class Result:
    """How a command in a container ended, and what it printed."""

    code: int
    output: str

    @property
    def last(self) -> str:
        """Its last line."""
        return (self.output.splitlines() or [""])[-1].strip()


@dataclass(frozen=True)
class Place:
    """Where a container is on one network."""

    address: str
    gateway: str


@dataclass(frozen=True)
class Container:
    """A running container of the stack."""

    service: str
    id: str
    image: str
    places: dict[str, Place]
    ports: tuple[int, ...]
    facts: Json
    """All that `docker inspect` says."""


def docker(*command: str, seconds: float = 60, check: bool = True) -> Result:
    """Run `docker …`. Raises `EngineError` when it cannot, or, with `check`, when it fails."""
    try:
        done = subprocess.run(
            ["docker", *command],  # noqa: S607 - whichever the PATH has
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except FileNotFoundError as error:
        raise EngineError("the command docker is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"docker {command[0]} gave no answer in {seconds:.0f} s") from error
    result = Result(done.returncode, (done.stdout + done.stderr).strip())
    if check and result.code:
        raise EngineError(f"docker {command[0]}: {result.last}")
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
    exposed = facts["Config"].get("ExposedPorts") or {}
    return Container(
        service=facts["Config"]["Labels"]["com.docker.compose.service"],
        id=facts["Id"],
        image=facts["Image"],
        places=places,
        ports=tuple(sorted(int(port.split("/")[0]) for port in exposed)),
        facts=facts,
    )


def _gateway(network: str) -> str:
    """The address that the host has, or would have, on a network."""
    template = "{{range .IPAM.Config}}{{.Gateway}}{{end}}"
    return docker("network", "inspect", network, "--format", template).output


def inside(container: Container, script: str, seconds: float = 60) -> Result:
    """Run a shell script in a container, as the user that its service runs as.

    Raises `EngineError` when the engine cannot start one: that says nothing of any wall. It is
    tried a few times, for a container at its limit of processes has no room for a shell either.
    """
    command = ("exec", container.id, "sh", "-c", script)
    for _ in range(_TRIES):
        result = docker(*command, seconds=seconds, check=False)
        if "OCI runtime exec failed" not in result.output:
            return result
        time.sleep(1)
    raise EngineError(f"no shell in {container.service}: {result.last}")


def beside(image: str, script: str, options: Sequence[str] = (), seconds: float = 60) -> Result:
    """Run a shell script in a plain container of its own, without the stack's walls."""
    command = ("run", "--rm", *options, "--entrypoint", "sh", image, "-c", script)
    return docker(*command, seconds=seconds, check=False)
