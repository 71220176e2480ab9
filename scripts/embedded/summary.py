"""What the services count, in a few lines of the terminal: for where no Prometheus is installed."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NoReturn

from rich.console import Console
from rich.live import Live
from rich.table import Table

from embedded.counts import Counts
from embedded.parts import Part

SECONDS = 2.0
WINDOW = 60.0
_NOTHING = "–"
_USER = {"rag_traffic": "user"}  # and not the canary prober
_STAGES = "rag_stage_duration_seconds"


def summary(now: Counts, before: Counts | None = None) -> Table:
    """What came about since the stack began, and since `before`."""
    caption = f"no answer from {', '.join(now.silent)}" if now.silent else None
    table = Table("", title="What the services count", caption=caption, caption_style="red")
    spans = [(now, 0.0)]
    if before is not None:
        spans.insert(0, (now.since(before), now.at - before.at))
    for _, seconds in spans:
        table.add_column(
            f"the last {seconds:.0f} s" if seconds else "since the start", justify="right"
        )
    for section in (_questions, _times, _tokens, _quality, _work):
        columns = [section(counts, seconds) for counts, seconds in spans]
        for name in columns[-1]:
            table.add_row(name, *(column.get(name, _NOTHING) for column in columns))
        table.add_section()
    return table


def show(parts: Sequence[Part], console: Console) -> NoReturn:
    """Keep the summary on the screen, until an exception of a signal ends it."""
    with Live(console=console, auto_refresh=False) as live:
        for table in tables(parts):
            live.update(table, refresh=True)
    raise AssertionError("tables() does not end")


def tables(parts: Sequence[Part]) -> Iterator[Table]:
    """The summary now, and anew every two seconds, each against what was a minute before."""
    kept: deque[Counts] = deque()
    while True:
        kept.append(Counts.read(parts))
        while len(kept) > 1 and kept[-1].at - kept[1].at >= WINDOW:
            kept.popleft()
        yield summary(kept[-1], kept[0] if len(kept) > 1 else None)
        time.sleep(SECONDS)


# A section gives its lines by name. `seconds` is how long its counts took; 0 is since the start.


def _questions(counts: Counts, seconds: float) -> dict[str, str]:
    totals = {
        outcome: counts.total("rag_answers_total", rag_outcome=outcome, **_USER)
        for outcome in ("answered", "abstained", "error")
    }
    return {f"questions {outcome}": f"{total:.0f}" for outcome, total in totals.items()}


def _times(counts: Counts, seconds: float) -> dict[str, str]:
    """Half of the questions took no longer, and 95 of 100."""
    lines = {
        "first token, p50 / p95": _quantiles(counts, "rag_answer_time_to_first_token_seconds"),
        "whole answer": _quantiles(counts, "rag_answer_duration_seconds"),
    }
    for stage in counts.values(f"{_STAGES}_count", "rag_stage"):
        lines[f"  {stage}"] = _quantiles(counts, _STAGES, rag_stage=stage)
    return lines


def _tokens(counts: Counts, seconds: float) -> dict[str, str]:
    lines = {}
    for kind, word in (("input", "read"), ("output", "written")):
        count = counts.total("gen_ai_client_token_usage_sum", gen_ai_token_type=kind)
        lines[f"tokens {word}"] = f"{count / seconds:.1f}/s" if seconds else f"{count:.0f}"
    return lines


def _quality(counts: Counts, seconds: float) -> dict[str, str]:
    verdicts = [
        counts.total("rag_evaluations_total", gen_ai_evaluation_score_label=label, **_USER)
        for label in ("unsupported", "supported")
    ]
    canaries = [
        counts.total("rag_retrieval_canary_total", rag_result=result) for result in ("hit", "miss")
    ]
    return {"unsupported answers": _share(*verdicts), "canaries hit": _share(*canaries)}


def _work(counts: Counts, seconds: float) -> dict[str, str]:
    failed = counts.total("rag_tool_calls_total", rag_outcome="failed")
    calls = counts.total("rag_tool_calls_total")
    return {
        "tool calls": f"{calls:.0f}" + (f", {failed:.0f} failed" if failed else ""),
        "chunks taken in": f"{counts.total('rag_ingest_chunks_total'):.0f}",
    }


def _quantiles(counts: Counts, name: str, **labels: str) -> str:
    found = [counts.quantile(share, name, **labels, **_USER) for share in (0.5, 0.95)]
    return " / ".join(_time(seconds) for seconds in found if seconds is not None) or _NOTHING


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.1f} s"


def _share(part: float, rest: float) -> str:
    return f"{part / (part + rest):.0%} of {part + rest:.0f}" if part + rest else _NOTHING
