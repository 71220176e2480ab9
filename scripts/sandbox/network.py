"""The walls between containers, to the host and to the world."""

import ipaddress
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.engine import Container, EngineError, Json, Probe
from sandbox.judging import Look, Seen, judged
from sandbox.scorecard import Finding

ANYWHERE = ("1.1.1.1", 443)
NAME = "example.com"
SECONDS = 10
_ANSWERS = ("OK", "ECONNREFUSED")  # a refusal comes from somebody who was reached
_SELF = ["127.0.0.1"]

Target = tuple[str, int]
Ports = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Neighbour:
    """A port of another container, and whether it shares a network with who looks at it."""

    name: str
    target: Target
    shared: bool


@dataclass(frozen=True)
class Reached:
    """How the connections from one place ended."""

    own: Mapping[str, str]
    """To a listener of the probe's, on each address of its container."""
    targets: Mapping[Target, str]
    name: str

    @property
    def deaf(self) -> list[str]:
        """Why what was not reached proves nothing."""
        return [
            f"an open port at {at} is not reached: {how}"
            for at, how in self.own.items()
            if how != "OK"
        ]


def reach(probe: Probe, own: Sequence[str], targets: Sequence[Target]) -> Reached:
    """Connect from a probe. Raises `EngineError`."""
    asked = {"own": list(own) or _SELF, "targets": targets, "name": NAME, "seconds": SECONDS}
    told = probe.ask("reach.py", json.dumps(asked), seconds=60 + 2 * SECONDS)
    found = dict(zip(targets, told["targets"], strict=True))
    return Reached(told["own"], found, told["name"])


def neighbours(
    source: Container, containers: Sequence[Container], ports: Mapping[str, Ports]
) -> list[Neighbour]:
    """Every port that another container listens on, at each of its addresses.

    `ports` is where each container listens, by its id.
    """
    return [
        Neighbour(f"{other.service}:{port}", (place.address, port), network in source.places)
        for other in containers
        if other is not source
        for network, place in other.places.items()
        for at, port in ports[other.id]
        if at == place.address or ipaddress.ip_address(at).is_unspecified
    ]


def neighbourhood(
    wanted: Sequence[Neighbour], reached: Reached, shared_sockets: Mapping[str, Sequence[str]]
) -> Seen:
    """Each port is reached on a shared network, and only there.

    A Unix socket in a volume is an edge, too, and an edge has two ends: `shared_sockets` says who
    else has each.
    """
    opened, unknown, words = list[str](), list(reached.deaf), list[str]()
    for one in wanted:
        how = reached.targets[one.target]
        words.append(f"{'reaches' if how in _ANSWERS else 'not'} {one.name}")
        if how in _ANSWERS and not one.shared:
            opened.append(f"reaches {one.name}")
        if how != "OK" and one.shared:
            unknown.append(f"{one.name} on a shared network: {how}")
    for path, others in shared_sockets.items():
        words.append(f"shares {path} with {' and '.join(others) or 'nobody'}")
        if len(others) > 1:
            opened.append(words[-1])
    if not wanted:
        unknown.append("nobody else listens anywhere")
    return Seen(", ".join(dict.fromkeys(words)), opened, unknown)


def crowded(source: Container, containers: Sequence[Container]) -> Seen:
    """A network is for a pair: a third one on it reaches both. Who runs one image is one end."""
    opened = []
    for network in source.places:
        on_it = [one for one in containers if network in one.places]
        there = sorted({one.service for one in on_it})
        if len({one.image for one in on_it}) > 2:
            opened.append(f"{network} has {', '.join(there)} on it")
    return Seen("each network is a pair's", opened)


def heard(reached: Reached) -> Seen:
    """That the same connections find an open port where there is one: the probe's own."""
    return Seen("no port of its own", [f"a port of the probe's at {at}" for at in reached.own])


def sockets_of(
    source: Container, containers: Sequence[Container], sockets: Sequence[str]
) -> dict[str, list[str]]:
    """Which other services have what each Unix socket lies in mounted."""
    found = {}
    for path in sockets:
        around = [
            one["Source"]
            for one in source.facts["Mounts"]
            if f"{path}/".startswith(f"{one['Destination']}/")
        ]
        found[path] = sorted(
            {
                other.service
                for other in containers
                if other.service != source.service
                and any(one["Source"] in around for one in other.facts["Mounts"])
            }
        )
    return found


class Outside:
    """A port of this machine, an address of the internet, and a plain container's way to them."""

    def __init__(self, plain: Probe, port: int) -> None:
        """`plain` is on a network of no project. Raises `EngineError`."""
        self._port = port
        self._own: Target = (_own_address(), port)
        self._control = reach(plain, [], [self._own, ANYWHERE])

    def targets(self, source: Container) -> list[Target]:
        """What to connect to from a container: by each gateway, by address, and the world."""
        gateways = [(place.gateway, self._port) for place in source.places.values()]
        return [*gateways, self._own, ANYWHERE]

    def judge(self, source: Container, reached: Reached, inet6: Sequence[str]) -> Iterator[Finding]:
        """The wall to this machine, and the one to the world."""
        yield judged(
            source,
            "host",
            Look(self._host(reached, self.targets(source)[:-1], inet6), self._plain_host()),
        )
        yield judged(source, "internet", Look(world(reached), world(self._control)))

    def _host(self, reached: Reached, targets: Sequence[Target], inet6: Sequence[str]) -> Seen:
        unknown = [*reached.deaf]
        if inet6:
            unknown.append(f"has addresses of IPv6 on {', '.join(inet6)}, which is not tried")
        opened = [_words(one) for one in targets if reached.targets[one] in _ANSWERS]
        return Seen(
            f"none of {', '.join(map(_words, targets))}",
            [f"reaches {one}" for one in dict.fromkeys(opened)],
            unknown,
        )

    def _plain_host(self) -> Seen:
        how = self._control.targets[self._own]
        words = f"a plain container and {_words(self._own)}: {how}"
        return Seen(words, [words] if how == "OK" else [])


def world(reached: Reached) -> Seen:
    """No address of the internet answers, and no name of it is known."""
    ways = {_words(ANYWHERE): reached.targets[ANYWHERE], f"the name {NAME}": reached.name}
    words = ", ".join(f"{what}: {how}" for what, how in ways.items())
    opened = [f"{what}: {how}" for what, how in ways.items() if how in _ANSWERS]
    return Seen(words, opened, reached.deaf)


def _words(target: Target) -> str:
    return f"{target[0]}:{target[1]}"


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


def ports_of(facts: Json) -> Ports:
    """Where a container listens, loopback aside."""
    return [
        (at, port) for at, port in facts["listening"] if not ipaddress.ip_address(at).is_loopback
    ]
