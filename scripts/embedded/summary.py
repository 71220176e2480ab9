"""What the services count, in a few lines of the terminal: for where no Prometheus is installed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

import httpx
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.live import Live
from rich.table import Table

from embedded.parts import Part

SECONDS = 2.0
_LABEL = tuple[tuple[str, str], ...]


class Counts:
    """Every series of the services' `/metrics` at one time."""

    def __init__(self, series: Mapping[tuple[str, _LABEL], float], at: float) -> None:
        self._series = series
        self.at = at

    @classmethod
    def read(cls, parts: Sequence[Part]) -> "Counts":
        """What the parts say now; one that does not answer says nothing."""
        series: dict[tuple[str, _LABEL], float] = {}
        for part in parts:
            if part.health:
                series.update(_scraped(part.url))
        return cls(series, time.monotonic())

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series of this name with these labels."""
        return sum(
            value
            for (found, there), value in self._series.items()
            if found == name and labels.items() <= dict(there).items()
        )

    def values(self, name: str, label: str) -> list[str]:
        """The values of a label in the series of this name."""
        return sorted({dict(there)[label] for found, there in self._series if found == name})


def summary(now: Counts, before: Counts) -> Table:
    """Rates since `before`, and what was counted since the stack began."""
    table = Table("what", "now", "since the start", title="What the services count")
    seconds = max(now.at - before.at, 1e-9)
    for kind, word in (("input", "read"), ("output", "written")):
        name, label = "gen_ai_client_token_usage_sum", {"gen_ai_token_type": kind}
        total = now.total(name, **label)
        rate = (total - before.total(name, **label)) / seconds
        table.add_row(f"tokens {word}", f"{rate:.1f}/s", f"{total:.0f}")
    for outcome in ("answered", "abstained", "error"):
        total = now.total("rag_answers_total", rag_outcome=outcome, rag_traffic="user")
        table.add_row(f"questions {outcome}", "", f"{total:.0f}")
    name = "rag_stage_duration_seconds"
    for stage in now.values(f"{name}_count", "rag_stage"):
        label = {"rag_stage": stage, "rag_traffic": "user"}
        count = now.total(f"{name}_count", **label)
        if count:
            mean = 1000 * now.total(f"{name}_sum", **label) / count
            table.add_row(f"stage {stage}", "", f"{mean:.1f} ms on average")
    verdicts = {
        verdict: now.total(
            "rag_evaluations_total", gen_ai_evaluation_score_label=verdict, rag_traffic="user"
        )
        for verdict in ("supported", "unsupported")
    }
    scored = sum(verdicts.values())
    share = f"{verdicts['unsupported'] / scored:.0%} of {scored:.0f}" if scored else "none scored"
    table.add_row("unsupported answers", "", share)
    hits = {r: now.total("rag_retrieval_canary_total", rag_result=r) for r in ("hit", "miss")}
    asked = sum(hits.values())
    table.add_row("canaries hit", "", f"{hits['hit'] / asked:.0%} of {asked:.0f}" if asked else "–")
    table.add_row("tool calls", "", f"{now.total('rag_tool_calls_total'):.0f}")
    return table


def show(parts: Sequence[Part], console: Console) -> NoReturn:
    """Keep the summary on the screen, until an exception of a signal ends it."""
    before = Counts.read(parts)
    with Live(summary(before, before), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(SECONDS)
            now = Counts.read(parts)
            live.update(summary(now, before), refresh=True)
            before = now


def _scraped(url: str) -> Iterator[tuple[tuple[str, _LABEL], float]]:
    try:
        page = httpx.get(f"{url}/metrics", timeout=5, trust_env=False).raise_for_status().text
    except httpx.HTTPError:
        return
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            # Whose series it is: two services may count the same.
            labels = {**sample.labels, "service": url}
            yield (sample.name, tuple(sorted(labels.items()))), sample.value
