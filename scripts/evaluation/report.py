"""What a result needs beside its numbers, and how it is shown."""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evaluation.answers import Record
from evaluation.bootstrap import Estimate, percentiles
from evaluation.runner import Failure

SHOWN_FAILURES = 5


def provenance() -> dict[str, Any]:
    """Command line, time, commit and machine that a number comes from."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory_gib": round(
                os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1
            ),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
        },
    }


def timings(stages: Iterable[dict[str, float]]) -> dict[str, dict[str, float] | None]:
    """Percentiles, in milliseconds, of each stage that the server timed."""
    columns: dict[str, list[float]] = {}
    for stage_times in stages:
        for stage, milliseconds in stage_times.items():
            columns.setdefault(stage, []).append(milliseconds)
    return {stage: percentiles(values) for stage, values in columns.items()}


def write(path: Path, result: dict[str, Any]) -> None:
    """Write a result as JSON, dataclasses as objects."""
    text = json.dumps(result, default=_plain, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def estimates_table(title: str, estimates: dict[str, Estimate]) -> Table:
    """One row per number: value, 95% interval, and what it is a share of."""
    table = Table("measure", title=escape(title), title_justify="left")
    for column in ("value", "95% interval", "n"):
        table.add_column(column, justify="right")
    for name, number in estimates.items():
        value = "-" if number.value is None else f"{number.value:.3f}"
        known = number.low is not None and number.high is not None
        interval = f"{number.low:.3f} to {number.high:.3f}" if known else "-"
        table.add_row(name, value, interval, str(number.n))
    return table


def costs_table(title: str, costs: dict[str, dict[str, float] | None]) -> Table:
    """p50, p95 and mean of each quantity that was measured."""
    table = Table("", title=escape(title), title_justify="left")
    for column in ("p50", "p95", "mean"):
        table.add_column(column, justify="right")
    for name, row in costs.items():
        if row is not None:
            table.add_row(
                escape(name), *(f"{row[column]:,.1f}" for column in ("p50", "p95", "mean"))
            )
    return table


def show_failures(console: Console, failures: list[Failure]) -> None:
    """Say how many queries could not be measured, and why the first of them could not."""
    if failures:
        console.print(f"[bold red]{len(failures)} queries could not be measured:[/]")
    for failure in failures[:SHOWN_FAILURES]:
        console.print(f"  {failure.id}: {failure.message}", markup=False)
    if len(failures) > SHOWN_FAILURES:
        console.print(f"  and {len(failures) - SHOWN_FAILURES} more")


def show_record(console: Console, record: Record) -> None:
    """One answer to read: question, gold, what was said and cited."""
    marks = {
        "abstained": record.abstained,
        "supported": record.supported,
        "contains gold": record.contains_gold,
        "gold retrieved": record.gold_retrieved,
    }
    console.print(f"\n{record.kind} {record.id}: {record.question}", style="bold", markup=False)
    if record.gold_answers:
        gold, paragraphs = " | ".join(record.gold_answers), ", ".join(record.gold_documents)
        console.print(f"  gold    {gold}  ({paragraphs})", markup=False)
    console.print(f"  answer  {record.answer}", markup=False)
    for citation in record.citations:
        state = "" if citation.verified else "  DOES NOT VERIFY"
        quoted = f"  [{citation.marker}] {citation.source}: {citation.quote!r}{state}"
        console.print(quoted, style="dim", markup=False)
    flags = ", ".join(name if on else f"not {name}" for name, on in marks.items())
    console.print(f"  {flags}", style="dim")


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _commit() -> str | None:
    """The checked-out commit, marked where files differ from it; None outside git."""
    git = shutil.which("git")
    if git is None:
        return None
    described = subprocess.run(
        [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def _cpu() -> str:
    """The CPU's name: the kernel's on Linux, elsewhere what Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
