"""Tries to break the walls of the running stack from inside each container; prints a scorecard.

Every attempt is also made in a plain container, where it has to succeed: a probe that cannot break
anything proves nothing, and is shown as `?`. The fork bomb keeps a service from starting processes
for two seconds. Exit codes: 0 all walls hold, 1 one is open, 2 there is nothing to check.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer

from client.screen import terminal
from sandbox.engine import Container, EngineError, containers
from sandbox.leaks import Leaks
from sandbox.network import Outside, listening, try_neighbours
from sandbox.scorecard import Finding, Verdict, show
from sandbox.walls import Controls

# On the one network from which the host's gateway answers: a published port needs that.
EXPECTED_OPEN = {("ingress", "host")}


def check(project: str) -> list[Finding]:
    """Every wall of every running container. Raises `EngineError`."""
    running = containers(project)
    shell = next((one.image for one in running if one.service == "ingress"), running[0].image)
    controls, leaks = Controls(shell), Leaks(running, shell)
    with listening() as port, ThreadPoolExecutor(len(running)) as each:
        outside = Outside(shell, port)

        def connections(container: Container) -> list[Finding]:
            return [
                leaks.try_service(container),
                try_neighbours(container, running),
                outside.try_host(container),
                outside.try_world(container),
            ]

        def walls(container: Container) -> list[Finding]:
            return list(controls.try_walls(container))

        # All connections first: amid a dozen fork bombs nobody answers within two seconds.
        found = [*each.map(connections, running), *each.map(walls, running)]
        return [finding for findings in found for finding in findings]


def main(
    project: Annotated[str, typer.Option(help="The Compose project.")] = "bulkhead",
    evidence: Annotated[bool, typer.Option(help="Show what was seen for every wall.")] = False,
) -> None:
    """Check the walls of the running stack."""
    console = terminal()
    try:
        findings = check(project)
    except EngineError as error:
        console.print(f"sandbox: {error}", style="bold red", markup=False)
        raise typer.Exit(2) from error
    show(findings, console, evidence)
    opened = {(one.service, one.wall) for one in findings if one.verdict is Verdict.OPEN}
    if opened & EXPECTED_OPEN:
        console.print("ingress · host is open by design: docs/security.md says why.")
    raise typer.Exit(1 if opened - EXPECTED_OPEN else 0)


if __name__ == "__main__":
    typer.run(main)
