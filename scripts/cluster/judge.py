"""What the probes saw, as walls that hold or do not."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from cluster.plan import Probe
from sandbox.scorecard import Finding, Verdict

ANSWERED = {"OK", "ECONNREFUSED", "ECONNRESET"}
"""An answer of whatever kind: the way there is open."""
REFUSED = {"root": {"EROFS", "EACCES"}, "user namespace": {"EPERM", "ENOSPC", "EINVAL", "ENOSYS"}}


def judge(
    probe: Probe, seen: Mapping[str, Any] | None, machines: Collection[str] = ()
) -> Iterator[Finding]:
    """The walls of one component. `seen`: what its probe printed; none where it did not run.

    `machines`: the kernels' versions that probes without a runtime of their own have seen.
    """

    def finding(wall: str, verdict: Verdict, evidence: str) -> Finding:
        return Finding(probe.component, wall, verdict, evidence)

    if seen is None:
        yield finding("probe", Verdict.UNPROVEN, "the probe did not run to its end")
        return
    outcomes = dict(zip((one.name for one in probe.targets), seen["targets"], strict=True))
    opened, lost = [], []
    for target in probe.targets:
        outcome = outcomes[target.name]
        if outcome == "UNKNOWN":
            lost.append(f"{target.name} has no address here")
        elif outcome in ANSWERED and not target.allowed:
            opened.append(target.name)
        elif outcome not in ANSWERED and target.allowed and target.name != "internet":
            lost.append(f"{target.name}, which it may call, ended with {outcome}")
    if opened:
        yield finding("network", Verdict.OPEN, f"reaches {', '.join(opened)}")
    elif lost:
        yield finding("network", Verdict.UNPROVEN, "; ".join(lost))
    else:
        reached = [name for name, outcome in outcomes.items() if outcome in ANSWERED]
        yield finding("network", Verdict.HOLDS, f"reaches {', '.join(reached) or 'nobody'}")

    found = "OK" in seen["names"]
    if found == probe.looks_up:
        yield finding("names", Verdict.HOLDS, "may look names up" if found else "no name is known")
    else:
        wrong = Verdict.OPEN if found else Verdict.UNPROVEN
        yield finding("names", wrong, f"looking a name up ended with {seen['names'][0]}")

    has_token = seen["token"] == "OK"  # noqa: S105 - how a look for it ended
    expected = bool(probe.pod["spec"].get("automountServiceAccountToken"))
    verdict = Verdict.HOLDS if has_token == expected else Verdict.OPEN
    yield finding("token", verdict, "a token is there" if has_token else "no token")

    runtime, kernel = probe.pod["spec"].get("runtimeClassName"), seen["kernel"]
    apart = bool(runtime and machines and kernel not in machines)
    if runtime and machines:
        verdict = Verdict.HOLDS if apart else Verdict.OPEN
        yield finding("kernel", verdict, f"{runtime}: {kernel}")
    elif runtime:
        yield finding("kernel", Verdict.UNPROVEN, f"{kernel}, and no node's to compare it with")
    else:
        yield finding("kernel", Verdict.ABSENT, f"the node's: {kernel}")

    for wall, refusals in REFUSED.items():
        outcome = seen[wall]
        # A user namespace of a kernel of its own opens nothing of the node's.
        holds = outcome in refusals or (wall == "user namespace" and apart)
        verdict = Verdict.HOLDS if holds else Verdict.OPEN
        yield finding(wall, verdict, f"ended with {outcome}")
    # The look itself works: what may be written is written.
    if seen["tmp"] != "OK":
        yield finding("root", Verdict.UNPROVEN, f"nor may its own tmpfs be written: {seen['tmp']}")

    status = seen["status"]
    privileges = []
    if int(status["CapEff"] or "1", 16) or int(status["CapBnd"] or "1", 16):
        privileges.append(f"capabilities {status['CapEff']} of {status['CapBnd']}")
    if status["NoNewPrivs"] != "1":
        privileges.append("may gain privileges")
    if status["Seccomp"] != "2" and not apart:  # gVisor is behind a filter, and shows none inside
        privileges.append("no seccomp filter")
    if "0" in re.split(r"\s+", status["Uid"].strip()):
        privileges.append("is root")
    if privileges:
        yield finding("privileges", Verdict.OPEN, ", ".join(privileges))
    else:
        yield finding("privileges", Verdict.HOLDS, f"user {status['Uid'].split()[0]}, none")
