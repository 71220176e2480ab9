"""Ask of the tree whether it may be released: pins, licences, secrets, misconfiguration, holes."""

import datetime
from collections.abc import Callable, Iterable
from typing import Annotated

import typer
from rich.text import Text

from client.screen import one_line, terminal
from supply import charts, licences, pins, scan, vex, vulnerabilities
from supply.finding import ROOT, Finding, tracked
from supply.locks import LOCK, packages
from supply.tools import ToolMissing

SUPPLY = ROOT / "deploy/supply"
CHECKERS = {SUPPLY, ROOT / "deploy/helm"}


def main(
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave out the feed of vulnerabilities.")
    ] = False,
    feed: Annotated[str, typer.Option(help="A server of OSV's API.")] = vulnerabilities.OSV,
) -> None:
    """Exit code 0: it may; 1: something is found; 2: a check could not be made."""
    console = terminal()
    locks = [path for path in tracked(ROOT) if path.name == LOCK]
    locked = {one for path in locks for one in packages(path)}
    # The locks of what only checks are held to their hashes; nothing of them is in an image.
    ours = {one for path in locks if path.parent not in CHECKERS for one in packages(path)}
    allowed = licences.Allowed.load(SUPPLY / "licences.toml")
    checks: dict[str, Callable[[], Iterable[Finding]]] = {
        "pins": lambda: pins.floating(ROOT),
        "licences": lambda: licences.refused((one.name for one in ours), allowed),
        "secrets and configuration": lambda: scan.scan(ROOT),
        "workflows": lambda: scan.workflows(ROOT),
        "chart": charts.faults,
    }
    if not offline:
        statements = vex.statements(ROOT / "deploy/vex")
        today = datetime.date.today()
        checks["vulnerabilities"] = lambda: vulnerabilities.holes(locked, statements, today, feed)
    found, failed = False, False
    for name, check in checks.items():
        try:
            findings = list(check())
        except ToolMissing as error:
            # Offline is what can be done where one is; nothing is released from there.
            failed = failed or not (offline and name == "chart")
            console.print(Text(f"  ? {name}: {one_line(str(error), 300)}"))
            continue
        except (scan.ScanError, vex.VexError, vulnerabilities.FeedError) as error:
            failed = True
            console.print(Text(f"  ? {name}: {one_line(str(error), 300)}"))
            continue
        found = found or bool(findings)
        console.print(Text(f"  {'✗' if findings else '✓'} {name}"))
        for finding in findings:
            console.print(Text(f"      {one_line(str(finding), 300)}"))
    if offline:
        console.print("  – vulnerabilities: not asked (--offline)")
    raise typer.Exit(2 if failed else int(found))


if __name__ == "__main__":
    typer.run(main)
