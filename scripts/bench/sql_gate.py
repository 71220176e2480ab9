"""How long the SQL gate takes for a statement.

    .venv/bin/python -m bench.sql_gate [--seconds 5]

Times `Gate.check` alone, over the benign queries and the refused attacks of the tests.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from embedded.parts import ROOT
from mcp_database.gate import Gate, Refused

sys.path.insert(0, str(ROOT / "tests" / "support"))
from benign_sql import QUERIES
from sql_attacks import ATTACKS

TABLES = ("services", "incidents", "deployments", "costs")


def main(
    seconds: Annotated[float, typer.Option(help="How long to measure each set.", min=0.1)] = 5,
) -> None:
    """Measure and print a table in microseconds."""
    gate = Gate([("harbour", name) for name in TABLES])
    attacks = [one.sql for one in ATTACKS if one.refused]
    print(f"{'statements':28}{'checks':>9}{'p50 µs':>9}{'p95 µs':>9}{'p99 µs':>9}{'max µs':>9}")
    for title, statements in (
        (f"{len(QUERIES)} benign", QUERIES),
        (f"{len(attacks)} refused attacks", attacks),
        ("the longest benign one", [max(QUERIES, key=len)]),
        ("8 kB, 4,000 values", ["values (" + ",".join(["1"] * 4000) + ")"]),
    ):
        _print(title, _measure(gate, statements, seconds))


def _measure(gate: Gate, statements: Sequence[str], seconds: float) -> list[float]:
    """Microseconds of each check; whole rounds, so that each statement counts the same."""
    took: list[float] = []
    until = time.monotonic() + seconds
    while len(took) < 2 or time.monotonic() < until:
        for sql in statements:
            started = time.perf_counter()
            with suppress(Refused):
                gate.check(sql)
            took.append((time.perf_counter() - started) * 1e6)
    return took


def _print(title: str, took: list[float]) -> None:
    cuts = statistics.quantiles(took, n=100)
    numbers = (statistics.median(took), cuts[94], cuts[98], max(took))
    print(f"{title:28}{len(took):9}" + "".join(f"{number:9.0f}" for number in numbers))


if __name__ == "__main__":
    typer.run(main)
