"""A container and all that is known of it before anything is tried."""

from dataclasses import dataclass

from sandbox.engine import Container, Json, Probe, within


@dataclass(frozen=True)
class Subject:
    """A container with the probe beside it, and what that saw before anything was tried."""

    container: Container
    probe: Probe
    facts: Json
    own: Json
    texts: Json
    kernel: Json | None = None
    """What answers there, where a runtime of its own is asked for."""
    outside: Json | None = None
    """What this machine's kernel says of it, where it has one of its own, whose word `facts` is."""

    @classmethod
    def met(cls, container: Container, probe: Probe, kernel: Json | None, apart: bool) -> "Subject":
        """Look at a container; `apart` says whether its kernel is its own. Raises `EngineError`."""
        if not apart:
            facts, texts = probe.ask("facts.py"), probe.ask("texts.py")
            return cls(container, probe, facts["target"], facts["own"], texts, kernel)
        facts = probe.ask("facts.py", str(container.facts["State"]["Pid"]))
        inner = within(container)
        told = inner.ask("texts.py", "/")
        texts = {"target": told["target"] | told["own"], "own": probe.ask("texts.py", "")["own"]}
        word = inner.ask("facts.py")
        known = mixed(facts["target"], word["target"] | word["own"])
        return cls(container, probe, known, facts["own"], texts, kernel, facts["target"])

    @property
    def reaching(self) -> Probe:
        """Who is where it is on its networks."""
        return self.probe if self.outside is None else within(self.container)


def mixed(outside: Json, inner: Json) -> Json:
    """What is known of a container with a kernel of its own: that one's word, and of what this
    machine's holds, this one's: control groups, and the namespaces but that of processes."""
    held = {kind: name for kind, name in outside["namespaces"].items() if kind != "pid"}
    return inner | {
        "namespaces": held,
        "limits": outside["limits"] | {name: inner["limits"][name] for name in ("files", "core")},
        "listening": [*outside["listening"], *inner["listening"]],
    }
