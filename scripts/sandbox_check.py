"""Tries to break the walls of the running stack, container by container; prints a scorecard.

Nothing of an image is needed for it: a probe of a known image joins each container's network and
processes, reads what the kernel holds, connects, and writes where the container's mounts would let
somebody write. The probe has no walls of its own, and each look is also made at itself: one that
does not find it open proves nothing, and is shown as `?`. What only a run in the container can
show is run by its own Python or shell; where an image has neither it is `?`, too. That run keeps
the container from starting processes for a moment. Exit codes: 0 no wall is open, 1 one is,
2 there is nothing to check.
"""

from pathlib import Path
from typing import Annotated

import typer

from client.screen import terminal
from diagnosis.project import project, variables
from release.manifest import ManifestError, Release
from release.override import built
from sandbox.check import check
from sandbox.engine import EngineError, containers
from sandbox.released import released
from sandbox.scorecard import Verdict, show

EXPECTED_OPEN = {
    # On the one network from which the host's gateway answers: a published port needs that.
    ("ingress", "host"),
    # The way to the provider where people log in, with the profile of that name alone.
    ("login", "host"),
    ("login", "internet"),
}


def main(
    name: Annotated[str, typer.Option("--project", help="Its Compose project.")] = "",
    release: Annotated[
        Path | None,
        typer.Option(help="A release.json: is what runs what it names?", envvar="RELEASE"),
    ] = None,
    evidence: Annotated[bool, typer.Option(help="Show what was seen for every wall.")] = False,
) -> None:
    """Check the walls of the running stack."""
    console = terminal()
    try:
        name = name or project(variables())
        findings = check(name)
        if release:
            findings += released(containers(name), Release.load(release), built())
    except (EngineError, ManifestError) as error:
        console.print(f"sandbox: {error}", style="bold red", markup=False)
        raise typer.Exit(2) from error
    show(findings, console, evidence)
    opened = {(one.service, one.wall) for one in findings if one.verdict is Verdict.OPEN}
    for service, wall in sorted(opened & EXPECTED_OPEN):
        console.print(f"{service} · {wall} is open by design: docs/security.md says why.")
    raise typer.Exit(1 if opened - EXPECTED_OPEN else 0)


if __name__ == "__main__":
    typer.run(main)
