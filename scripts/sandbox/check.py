"""Every wall of every running container: what is looked at, in which order."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from sandbox import kernels, leaks, network, runs, walls
from sandbox.engine import (
    Container,
    EngineError,
    Json,
    Probe,
    beside,
    containers,
    default_runtime,
    within,
)
from sandbox.judging import Look, judged
from sandbox.mounts import Mounts
from sandbox.scorecard import Finding, Verdict
from sandbox.subjects import Subject

KNOWN = "ingress"
"""The service whose image the probes are of: Python and its standard library."""
WALLS = (
    *("kernel", "user", "capabilities", "new privileges", "seccomp", "namespaces", "limits"),
    *("read only", "tmpfs", "engine socket", "secrets", "neighbours", "host", "internet"),
    *("fork bomb", "user namespace"),
)


class Check:
    """One check of all of a stack's containers."""

    def __init__(self, subjects: Sequence[Subject], plain: Probe, kernel: Json, port: int) -> None:
        """`plain` is a probe that has joined nobody, `kernel` what answers there, `port` one of
        this machine's that is open."""
        self._subjects = subjects
        self._containers = [one.container for one in subjects]
        self._outside = network.Outside(plain, port)
        self._ports = {one.container.id: network.ports_of(one.facts) for one in subjects}
        self._secrets = {word for one in subjects for word in one.texts["target"]["secrets"]}
        most = max((one.facts["limits"].get("pids") or 0) for one in subjects)
        self._plain_runs = plain.ask("runs.py", str(most + 1))
        self._kernel = kernel
        self._tools: dict[str, str | None] = {}

    def looks(self, subject: Subject) -> Iterator[Finding]:
        """What shows without a run in the container."""
        container, probe = subject.container, subject.probe
        yield kernels.judge(container, subject.kernel, subject.probe.ask("kernel.py"), self._kernel)
        yield from walls.read(container, subject.facts, subject.own, subject.outside)
        yield self._namespaces(subject)
        yield leaks.judge(container, probe, subject.texts, self._secrets)
        inner = None if subject.outside is None else within(container, root=True)
        mounts = Mounts(container, subject.facts, subject.own, probe, inner)
        self._tools[container.id] = mounts.tool
        yield from mounts.judge()
        yield from self._connections(subject, mounts.sockets)

    def runs(self, subject: Subject) -> Iterator[Finding]:
        """What only a run in the container shows."""
        tool = self._tools.get(subject.container.id)
        limit = subject.facts["limits"].get("pids")
        judge = runs.judge if subject.outside is None else runs.judge_own_kernel
        yield from judge(subject.container, tool, limit, self._plain_runs)

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
        reached = network.reach(subject.reaching, own, targets)
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
        plain, default = probes.enter_context(beside(image)), default_runtime()
        here = plain.ask("kernel.py")

        def meet(container: Container) -> Subject | EngineError:
            try:
                kernel = kernels.asked(container, default)
                apart = kernel is not None and not kernels.same(kernel, here)
                probe = probes.enter_context(beside(image, container, apart))
                return Subject.met(container, probe, kernel, apart)
            except EngineError as error:
                return error

        met = list(each.map(meet, running))
        subjects = [one for one in met if isinstance(one, Subject)]
        for container, one in zip(running, met, strict=True):
            if isinstance(one, EngineError):
                found += unmet(container, one)
        if subjects:
            checks = Check(subjects, plain, here, port)
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
