"""What was tried, and how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text


class Verdict(StrEnum):
    """Whether a wall holds. `UNPROVEN`: not tried, or nothing shows that the try could work.
    `ABSENT`: nobody asked for this wall here."""

    HOLDS = "holds"
    OPEN = "open"
    UNPROVEN = "unproven"
    ABSENT = "absent"


@dataclass(frozen=True)
class Finding:
    """One attempt on one service's wall, with what was seen."""

    service: str
    wall: str
    verdict: Verdict
    evidence: str


_MARKS = {
    Verdict.HOLDS: "[green]✓[/]",
    Verdict.OPEN: "[red]OPEN[/]",
    Verdict.UNPROVEN: "[yellow]?[/]",
    Verdict.ABSENT: "–",
}


def show(findings: Sequence[Finding], console: Console, every: bool) -> None:
    """A table of services by walls, and the evidence: of what does not hold, or of everything."""
    walls = list(dict.fromkeys(finding.wall for finding in findings))
    # A terminal of 80 columns folds the names of the walls, and cuts none off.
    narrow = (Column(wall, overflow="fold") for wall in walls)
    table = Table(Column("service", no_wrap=True), *narrow, padding=(0, 0))
    for service in dict.fromkeys(finding.service for finding in findings):
        row = {one.wall: _MARKS[one.verdict] for one in findings if one.service == service}
        table.add_row(service, *(row.get(wall, "") for wall in walls))
    console.print(table)
    seen: dict[tuple[str, Verdict, str], list[str]] = {}
    for one in findings:
        if every or one.verdict not in (Verdict.HOLDS, Verdict.ABSENT):
            seen.setdefault((one.service, one.verdict, one.evidence), []).append(one.wall)
    for (service, verdict, evidence), names in seen.items():
        line = f"{service} · {', '.join(names)} · {verdict}: {evidence}"
        console.print(Text(line), soft_wrap=True)
