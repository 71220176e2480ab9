"""The summary in the terminal, from what real instruments say at a real `/metrics`."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table
from serving import free_port, serving
from starlette.responses import PlainTextResponse, Response

from embedded import summary
from embedded.address import Address
from embedded.counts import Counts
from embedded.parts import Part

# In a process of its own: a process has one set of instruments, and it records once.
RECORD = """
import sys
from fastapi import FastAPI
from prometheus_client import generate_latest
from bulkhead.telemetry import instruments as i
from bulkhead.telemetry.setup import TelemetrySettings, configure

configure(FastAPI(), "retriever", TelemetrySettings())
user, canary = {"rag.traffic": "user"}, {"rag.traffic": "canary"}
for minute in range(2):
    for _ in range(3):
        i.ANSWERS.add(1, {"rag.outcome": "answered", **user})
        i.ANSWERS.add(1, {"rag.outcome": "answered", **canary})
        i.FIRST_TOKEN.record(0.6 + minute, user)  # between 0.32 and 0.64 s, then 1.28 and 2.56 s
        i.ANSWER_DURATION.record(3.0, {"rag.outcome": "answered", **user})
        i.STAGE_DURATION.record(0.03, {"rag.stage": "embed", **user})
        i.STAGE_DURATION.record(4.0, {"rag.stage": "embed", **canary})
        i.TOKEN_USAGE.record(100, {"gen_ai.token.type": "input", **user})
        i.TOKEN_USAGE.record(20, {"gen_ai.token.type": "output", **user})
        label = {"gen_ai.evaluation.score.label": "unsupported" if minute else "supported"}
        i.EVALUATIONS.add(1, {**label, **user})
        i.CANARIES.add(1, {"rag.result": "hit"})
    i.ANSWERS.add(1, {"rag.outcome": "error", **user})
    i.CANARIES.add(1, {"rag.result": "miss"})
    i.TOOL_CALLS.add(1, {"rag.tool.server": "database", "rag.outcome": "failed"})
    i.CHUNKS.add(50)
    sys.stdout.write(generate_latest().decode() + "\\0")
"""


@pytest.fixture(scope="module")
def pages() -> list[str]:
    """What `/metrics` says after a minute, and after another."""
    done = subprocess.run(
        [sys.executable, "-c", RECORD], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split("\0")[:2]


@pytest.fixture
def exits() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def part(name: str, exits: ExitStack, *said: str | Response) -> Part:
    """A part that says these one after the other, and then the last again; nothing if none."""
    if not said:
        return Part(name, (), Address("127.0.0.1", free_port()), "/readyz", {})
    turns = itertools.chain(said, itertools.repeat(said[-1]))
    app = FastAPI()

    @app.get("/metrics")
    def metrics() -> Response:
        turn = next(turns)
        return turn if isinstance(turn, Response) else PlainTextResponse(turn)

    url = exits.enter_context(serving(app))
    return Part(name, (), Address("127.0.0.1", int(url.rpartition(":")[2])), "/readyz", {})


def shown(table: Table) -> str:
    console = Console(record=True, width=100)
    console.print(table)
    return console.export_text()


def rows(table: Table) -> dict[str, list[str]]:
    """The cells of each line, by the first."""
    lines = [line.strip("│ ").split("│") for line in shown(table).splitlines() if "│" in line]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def counted(page: str, at: float) -> Counts:
    series = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    return Counts(series, at)


def test_each_line_says_what_came_about_lately_and_in_all(pages: list[str]) -> None:
    first, second = (counted(page, 60.0 * n) for n, page in enumerate(pages))
    assert rows(summary.summary(second, first)) == {
        "questions answered": ["3", "6"],  # without the canaries
        "questions abstained": ["0", "0"],
        "questions error": ["1", "2"],
        "first token, p50 / p95": ["1.9 s / 2.5 s", "640 ms / 2.4 s"],
        "whole answer": ["3.8 s / 5.0 s", "3.8 s / 5.0 s"],
        "embed": ["30 ms / 39 ms", "30 ms / 39 ms"],
        "tokens read": ["5.0/s", "600"],
        "tokens written": ["1.0/s", "120"],
        "unsupported answers": ["100% of 3", "50% of 6"],
        "canaries hit": ["75% of 4", "75% of 8"],
        "tool calls": ["1, 1 failed", "2, 2 failed"],
        "chunks taken in": ["50", "100"],
    }


def test_before_anything_happened_it_says_so() -> None:
    lines = rows(summary.summary(Counts({}, 10.0), Counts({}, 0.0)))
    assert lines["first token, p50 / p95"] == ["–", "–"]
    assert lines["unsupported answers"] == ["–", "–"]
    assert lines["tokens read"] == ["0.0/s", "0"]


def test_it_goes_on_without_a_part_that_does_not_answer(pages: list[str], exits: ExitStack) -> None:
    """One that is gone, one that fails, one that says something else; and one without HTTP."""
    parts = [
        part("gone", exits),
        part("failing", exits, Response(status_code=500)),
        part("babbling", exits, "<html>{{{</html>"),
        Part("postgres", (), Address("127.0.0.1", free_port()), "", {}),
        part("retriever", exits, pages[0]),
    ]
    table = summary.summary(Counts.read(parts))
    assert rows(table)["questions answered"] == ["3"]
    assert "no answer from gone, failing, babbling" in shown(table)


def test_it_moves_on_with_the_services(
    pages: list[str], exits: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "SECONDS", 0)
    tables = summary.tables([part("retriever", exits, *pages)])
    before, after = next(tables), next(tables)
    assert rows(before)["questions answered"] == ["3"]
    assert rows(after)["questions answered"] == ["3", "6"]
    assert "no answer" not in shown(after)


def test_what_is_a_minute_old_is_lately_no_more(
    pages: list[str], exits: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0.0, 30.0)
    monkeypatch.setattr("embedded.counts.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(summary, "SECONDS", 0)
    tables = summary.tables([part("retriever", exits, *pages)])
    lately = [rows(next(tables))["questions answered"][0] for _ in range(4)]
    assert lately == ["3", "3", "3", "0"]  # the first says what came about in all


def test_a_part_that_was_restarted_counts_from_nothing(pages: list[str]) -> None:
    later, earlier = (counted(page, at) for page, at in zip(pages, (60.0, 0.0), strict=True))
    assert rows(summary.summary(later, earlier))["questions answered"] == ["3", "3"]


@pytest.mark.parametrize(
    ("share", "buckets", "expected"),
    [
        (0.5, {"1": 4, "2": 4, "4": 8, "+Inf": 8}, 1.0),
        (0.25, {"1": 4, "2": 4, "4": 8, "+Inf": 8}, 0.5),
        (0.75, {"1": 4, "2": 4, "4": 8, "+Inf": 8}, 3.0),
        (0.95, {"1": 4, "2": 4, "4": 8, "+Inf": 10}, 4.0),  # above every bound
        (0.5, {"1": 0, "2": 0, "+Inf": 0}, None),
        (0.5, {}, None),
    ],
)
def test_a_quantile_is_estimated_as_prometheus_does(
    share: float, buckets: dict[str, int], expected: float | None
) -> None:
    series: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {
        ("h_bucket", (("le", bound),)): float(n) for bound, n in buckets.items()
    }
    assert Counts(series, 0.0).quantile(share, "h") == expected
