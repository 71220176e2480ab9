"""The walls between containers, to the host and to the world."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sandbox.engine import Container, EngineError, beside, inside
from sandbox.scorecard import Finding, Verdict

ANYWHERE = "1.1.1.1/443"
_NAMED = "getent hosts example.com >/dev/null && echo named || echo no name"


_AT_ONCE = 8  # attempts, of three processes each: within the limits of the smallest services


def connecting(*targets: str) -> str:
    """A script that names which of the targets, `ADDRESS/PORT`, take a connection in 2 s."""
    attempt = "(timeout 2 bash -c '</dev/tcp/{0}' 2>/dev/null && echo reached {0}) &"
    tries = [attempt.format(target) for target in targets]
    groups = [tries[first : first + _AT_ONCE] for first in range(0, len(tries), _AT_ONCE)]
    return " ".join(part for group in groups for part in (*group, "wait;"))


def _reached(output: str) -> set[str]:
    return {line.removeprefix("reached ") for line in output.splitlines() if "reached " in line}


def try_neighbours(source: Container, containers: Sequence[Container]) -> Finding:
    """From a container to each other by address: reached on a shared network, and only there.

    A Unix socket in a volume is an edge, too, and an edge has two ends.
    """
    wanted = {
        f"{place.address}/{port}": (f"{target.service}:{port}", network in source.places)
        for target in containers
        if target is not source
        for network, place in target.places.items()
        for port in target.ports
    }
    reached = _reached(inside(source, connecting(*wanted)).output)
    seen = {
        to: ("reaches " if to in reached else "not ") + name for to, (name, _) in wanted.items()
    }
    wrong = [seen[to] for to, (_, shared) in wanted.items() if (to in reached) is not shared]
    for path, others in _sockets(source, containers):
        seen[path] = f"shares {path} with {' and '.join(others) or 'nobody'}"
        if len(others) != 1:
            wrong.append(seen[path])
    verdict = Verdict.OPEN if wrong else Verdict.HOLDS
    words = dict.fromkeys(wrong or seen.values())  # a neighbour of two networks is named once
    return Finding(source.service, "neighbours", verdict, ", ".join(words))


def _sockets(source: Container, containers: Sequence[Container]) -> Iterator[tuple[str, list[str]]]:
    """Each Unix socket in what is mounted into a container, and who else has it mounted."""
    for mount in source.facts["Mounts"]:
        shared = [
            other.service
            for other in containers
            if other is not source
            and any(one["Source"] == mount["Source"] for one in other.facts["Mounts"])
        ]
        look = f"find {mount['Destination']} -maxdepth 3 -type s 2>/dev/null"
        for path in inside(source, look).output.splitlines():
            yield path, shared


class Outside:
    """A port of this machine, an address of the internet, and what a plain container reaches."""

    def __init__(self, image: str, port: int) -> None:
        self._port = port
        self._own = f"{_own_address()}/{port}"
        control = beside(image, f"{connecting(self._own, ANYWHERE)} {_NAMED}").output
        self._host_is_there = self._own in _reached(control)
        self._control = control.replace("\n", ", ")
        self._world_is_there = ANYWHERE in _reached(control) or "named" in control.split("\n")

    def try_host(self, container: Container) -> Finding:
        """By each network's gateway, and by this machine's own address."""
        gateways = [f"{place.gateway}/{self._port}" for place in container.places.values()]
        targets = [*gateways, self._own]
        reached = _reached(inside(container, connecting(*targets)).output)
        if reached:
            verdict, words = Verdict.OPEN, f"reaches {', '.join(sorted(reached))}"
        elif not self._host_is_there:
            verdict, words = (
                Verdict.UNPROVEN,
                f"a plain container does not reach {self._own} either",
            )
        else:
            verdict = Verdict.HOLDS
            words = f"none of {', '.join(targets)} (a plain container reaches {self._own})"
        return Finding(container.service, "host", verdict, words)

    def try_world(self, container: Container) -> Finding:
        """To an address of the internet, and to the name of a place there."""
        seen = inside(container, f"{connecting(ANYWHERE)} {_NAMED}").output.split("\n")
        if "named" in seen or f"reached {ANYWHERE}" in seen:
            verdict, words = Verdict.OPEN, ", ".join(seen)
        elif not self._world_is_there:
            verdict = Verdict.UNPROVEN
            words = "this machine has no way to the internet to compare with"
        else:
            verdict = Verdict.HOLDS
            words = f"no connection and no name (a plain container: {self._control})"
        return Finding(container.service, "internet", verdict, words)


@contextmanager
def listening() -> Iterator[int]:
    """A port open on every address of this machine while the block runs."""
    with socket.create_server(("0.0.0.0", 0)) as listener:  # noqa: S104 - the bait

        def accept() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def _own_address() -> str:
    """This machine's address on the network that leads out; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documents
        except OSError as error:
            raise EngineError(f"this machine has no network: {error.strerror}") from error
        return str(probe.getsockname()[0])
