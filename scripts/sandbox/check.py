"""Every wall of every running container: what is looked at, in which order."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from sandbox import leaks, network, runs, walls
from sandbox.engine import Container, EngineError, Json, Probe, beside, containers
from sandbox.judging import Look, judged
from sandbox.mounts import Mounts
from sandbox.scorecard import Finding, Verdict

KNOWN = "ingress"
"""The service whose image the probes are of: Python and its standard library."""
WALLS = (
    *("user", "capabilities", "new privileges", "seccomp", "namespaces", "limits"),
    *("read only", "tmpfs", "engine socket", "secrets", "neighbours", "host", "internet"),
    *("fork bomb", "user namespace"),
)


@dataclass(frozen=True)
class Subject:
    """A container with the probe beside it, and what that saw before anything was tried."""

    container: Container
    probe: Probe
    facts: Json
    own: Json
    texts: Json

    @classmethod
    def met(cls, container: Container, probe: Probe) -> "Subject":
        """Look at a container. Raises `EngineError`."""
        facts, texts = probe.ask("facts.py"), probe.ask("texts.py")
        return cls(container, probe, facts["target"], facts["own"], texts)


class Check:
    """One check of all of a stack's containers."""

    def __init__(self, subjects: Sequence[Subject], plain: Probe, port: int) -> None:
        """`plain` is a probe that has joined nobody, `port` one of this machine's that is open."""
        self._subjects = subjects
        self._containers = [one.container for one in subjects]
        self._outside = network.Outside(plain, port)
        self._ports = {one.container.id: network.ports_of(one.facts) for one in subjects}
        self._secrets = {word for one in subjects for word in one.texts["target"]["secrets"]}
        most = max((one.facts["limits"].get("pids") or 0) for one in subjects)
        self._plain_runs = plain.ask("runs.py", str(most + 1))
        self._tools: dict[str, str | None] = {}

    def looks(self, subject: Subject) -> Iterator[Finding]:
        """What shows without a run in the container."""
        container, probe = subject.container, subject.probe
        yield from walls.read(container, subject.facts, subject.own)
        yield self._namespaces(subject)
        yield leaks.judge(container, probe, subject.texts, self._secrets)
        mounts = Mounts(container, subject.facts, subject.own, probe)
        self._tools[container.id] = mounts.tool
        yield from mounts.judge()
        yield from self._connections(subject, mounts.sockets)

    def runs(self, subject: Subject) -> Iterator[Finding]:
        """What only a run in the container shows."""
        tool = self._tools.get(subject.container.id)
        limit = subject.facts["limits"].get("pids")
        yield from runs.judge(subject.container, tool, limit, self._plain_runs)

    def _namespaces(self, subject: Subject) -> Finding:
        others = {
            one.container.service: one.facts["namespaces"]
            for one in self._subjects
            if one is not subject
        }
        others[walls.HOST] = walls.of_this_machine()
        mine, service = subject.facts["namespaces"], subject.container.service
        joined = walls.namespaces(subject.own["namespaces"], {service: mine})
        return judged(subject.container, "namespaces", Look(walls.namespaces(mine, others), joined))

    def _connections(self, subject: Subject, sockets: Sequence[str]) -> Iterator[Finding]:
        container = subject.container
        wanted = network.neighbours(container, self._containers, self._ports)
        targets = [one.target for one in wanted] + self._outside.targets(container)
        own = [place.address for place in container.places.values()]
        reached = network.reach(subject.probe, own, targets)
        shared = network.sockets_of(container, self._containers, sockets)
        seen = network.neighbourhood(wanted, reached, shared)
        own_port = network.heard(reached)
        pairs = network.crowded(container, self._containers)
        yield judged(container, "neighbours", Look(seen, own_port), Look(pairs, own_port))
        yield from self._outside.judge(container, reached, subject.facts["inet6"])


def check(project: str) -> list[Finding]:
    """Every wall of every running container. Raises `EngineError`."""
    running = containers(project)
    image = next((one.image for one in running if one.service == KNOWN), None)
    if image is None:
        raise EngineError(f"{KNOWN} is not running: the probes are of its image")
    found: list[Finding] = []
    with (
        network.listening() as port,
        ExitStack() as probes,
        ThreadPoolExecutor(len(running)) as each,
    ):

        def meet(container: Container) -> Subject | EngineError:
            try:
                return Subject.met(container, probes.enter_context(beside(image, container)))
            except EngineError as error:
                return error

        met = list(each.map(meet, running))
        subjects = [one for one in met if isinstance(one, Subject)]
        for container, one in zip(running, met, strict=True):
            if isinstance(one, EngineError):
                found += unmet(container, one)
        if subjects:
            checks = Check(subjects, probes.enter_context(beside(image)), port)
            # All runs last: amid a dozen fork bombs nobody answers in time.
            for part, walls_of_it in ((checks.looks, WALLS[:-2]), (checks.runs, WALLS[-2:])):
                for findings in each.map(partial(tried, part, walls_of_it), subjects):
                    found += findings
    return sorted(found, key=lambda one: (one.service, WALLS.index(one.wall)))


def tried(
    part: Callable[[Subject], Iterator[Finding]], names: Sequence[str], subject: Subject
) -> list[Finding]:
    """The findings of a part for one container: unproven, and why, where it broke off."""
    found: dict[str, Finding] = {}
    why = ""
    try:
        for finding in part(subject):
            found[finding.wall] = finding
    except EngineError as error:
        why = str(error)
    service = subject.container.service
    return [found.get(name) or Finding(service, name, Verdict.UNPROVEN, why) for name in names]


def unmet(container: Container, error: EngineError) -> Iterator[Finding]:
    """The findings for a container that no probe can join."""
    shared = container.facts["HostConfig"]["PidMode"]
    for wall in WALLS:
        if wall == "namespaces" and shared:
            yield Finding(
                container.service, wall, Verdict.OPEN, f"its processes are {shared}'s, too"
            )
        else:
            yield Finding(container.service, wall, Verdict.UNPROVEN, str(error))
