"""A run as one HTML page that needs nothing else: no script, no font, no network."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from loading.outcome import Outcome
from loading.plots import Axis, Series, plot
from loading.sweep import Knee

Json = dict[str, Any]
MOST_DOTS = 3000

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #66707f; --line: #d9dee6; --paper: #fff;
  --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa4b2; --line: #333b47;
  --paper: #14181f; --bad: #ff8a80 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
.soft { color: var(--soft) } .bad { color: var(--bad); font-weight: 600 }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: .75rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: right }
th:first-child, td:first-child { text-align: left }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif }
svg line { stroke: var(--line) } svg text:not([fill]) { fill: var(--soft) }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
"""


def run_page(result: Json, outcomes: Sequence[Outcome]) -> str:
    """The page of one run."""
    summary, settings = result["summary"], result["settings"]
    head = f"{settings['workload']}, {_load(settings)}"
    parts = [f"<p class=soft>{escape(result['time'])} · {escape(settings['url'])}</p>"]
    if not summary["valid"]:
        parts.append(
            "<p class=bad>This run is invalid: the generator was late, and its lateness counts in "
            "every latency. Use a faster machine or a lower rate.</p>"
        )
    if summary["loop"] == "closed":
        parts.append(
            "<p class=bad>Closed loop: clients waited for replies before they sent again, so a "
            "server that stalls looks better than users would find it.</p>"
        )
    for call, numbers in summary["calls"].items():
        parts += _call(call, numbers)
    good = [outcome for outcome in outcomes if outcome.error is None]
    dots = good[:: max(1, len(good) // MOST_DOTS)]
    over_time = [
        Series("whole request", [(o.scheduled, o.latency * 1e3) for o in dots], joined=False),
        Series(
            "first token",
            [(o.scheduled, o.first * 1e3) for o in dots if o.first is not None],
            joined=False,
        ),
        Series(
            "failed",
            [(o.scheduled, max(o.latency * 1e3, 0.1)) for o in outcomes if o.error is not None],
            joined=False,
        ),
    ]
    parts += [
        "<h2>Latency, from the time each request was due</h2>",
        plot(
            [one for one in over_time if one.points],
            Axis("seconds into the run"),
            Axis("milliseconds", log=True),
        ),
        "<h2>How many were slower</h2>",
        plot(_tails(good), Axis("milliseconds", log=True), Axis("share slower", log=True)),
        "<h2>Requests each second</h2>",
        plot(_per_second(outcomes), Axis("seconds into the run"), Axis("requests")),
        "<h2>How late the generator was</h2>",
        plot(
            [Series("lag", [(o.scheduled, o.lag * 1e3) for o in dots], joined=False)],
            Axis("seconds into the run"),
            Axis("milliseconds"),
        ),
        "<h2>How it was run</h2>",
        f"<pre>{escape(_provenance(result))}</pre>",
    ]
    return _html(head, parts)


def sweep_page(result: Json, knee: Knee, runs: Sequence[tuple[float, Json]]) -> str:
    """The page of a sweep: goodput and latency by rate."""
    ordered = sorted(runs, key=lambda run: run[0])
    shares = [(rate, run["all"]["goodput"]["share"]["value"]) for rate, run in ordered]
    rows = [
        [
            f"{rate:.2f}",
            f"{share:.1%}",
            *_cells(run["all"]["latency_ms"], ("p50", "p95", "p99")),
            "" if run["valid"] else "invalid",
        ]
        for (rate, run), (_, share) in zip(ordered, shares, strict=True)
    ]
    latency = [
        Series(
            name,
            [
                (rate, run["all"]["latency_ms"][name])
                for rate, run in ordered
                if run["all"]["latency_ms"]
            ],
        )
        for name in ("p50", "p95", "p99")
    ]
    parts = [
        f"<p>{escape(knee_words(knee))}</p>",
        _table(["requests/s", "goodput", "p50, ms", "p95, ms", "p99, ms", ""], rows),
        "<h2>Share of requests that kept the SLOs</h2>",
        plot([Series("goodput", shares)], Axis("requests a second"), Axis("share")),
        "<h2>Latency</h2>",
        plot(latency, Axis("requests a second"), Axis("milliseconds", log=True)),
        "<h2>How it was run</h2>",
        f"<pre>{escape(_provenance(result))}</pre>",
    ]
    return _html(f"sweep: {result['settings']['workload']}", parts)


def knee_words(knee: Knee) -> str:
    """What a sweep found, as a sentence."""
    if knee.holds is None:
        return f"Already {knee.fails:.2f} requests a second do not keep the SLOs."
    if knee.fails is None:
        return f"{knee.holds:.2f} requests a second, the most that was tried, keep the SLOs."
    return f"{knee.holds:.2f} requests a second keep the SLOs; {knee.fails:.2f} do not."


def _call(call: str, numbers: Json) -> list[str]:
    goodput = numbers["goodput"]
    errors = ", ".join(f"{count} {name}" for name, count in numbers["errors"].items()) or "none"
    said = (
        f"{numbers['requests']} requests, {numbers['requests_per_second']:.1f} good replies a "
        f"second, {goodput['share']['value']:.1%} kept the SLOs; errors: {errors}"
    )
    columns = ("p50", "p90", "p95", "p99", "p99.9", "mean", "max")
    rows = [
        [label, *_cells(numbers[key], columns)]
        for key, label in (
            ("latency_ms", "whole request"),
            ("service_ms", "from its sending"),
            ("first_token_ms", "first token"),
            ("between_tokens_ms", "between tokens"),
        )
        if numbers[key]
    ]
    parts = [f"<h2>{escape(call)}</h2>", f"<p>{escape(said)}</p>"]
    parts.append(_table(["milliseconds", *columns], rows))
    if numbers["latency_ms"] and numbers["latency_ms"]["n"] < 1000:
        n = numbers["latency_ms"]["n"]
        parts.append(f"<p class=soft>p99 and above are of {n} requests: take them lightly.</p>")
    if stages := numbers["stages"]:
        rows = [
            [
                name,
                *_cells(stage, ("p50", "p95")),
                "" if stage["share"] is None else f"{stage['share']:.0%}",
            ]
            for name, stage in stages.items()
        ]
        parts.append(_table(["stage, as the server timed it", "p50", "p95", "share"], rows))
    quality = {name: one for name, one in numbers["quality"].items() if one["value"] is not None}
    if quality:
        rows = [
            [name, f"{one['value']:.3f}", f"{one['low']:.3f} to {one['high']:.3f}", str(one["n"])]
            for name, one in quality.items()
        ]
        parts.append(_table(["quality under load", "share", "95% interval", "n"], rows))
    return parts


def _tails(good: Sequence[Outcome]) -> list[Series]:
    firsts = [o.first for o in good if o.first is not None]
    series = []
    for name, values in (("whole request", [o.latency for o in good]), ("first token", firsts)):
        ordered = np.sort(values) * 1e3
        picks = np.unique(np.geomspace(1, max(len(ordered), 1), 200).astype(int)) - 1
        # The share that took longer, from the slowest up: the tail keeps its every point.
        tail = [(float(ordered[-1 - n]), (n + 1) / len(ordered)) for n in picks if len(ordered)]
        if tail:
            series.append(Series(name, tail))
    return series


def _per_second(outcomes: Sequence[Outcome]) -> list[Series]:
    due = Counter(int(o.scheduled) for o in outcomes)
    done = Counter(int(o.end) for o in outcomes if o.error is None)
    failed = Counter(int(o.end) for o in outcomes if o.error is not None)
    last = max((int(o.end) for o in outcomes), default=0)
    named = (("due", due), ("done", done), ("failed", failed))
    return [
        Series(name, [(second, counts[second]) for second in range(last + 1)])
        for name, counts in named
        if counts
    ]


def _load(settings: Json) -> str:
    if settings["loop"] == "closed":
        return f"{settings['clients']} clients for {settings['duration']:g} s (closed loop)"
    return (
        f"{settings['rate']:g} requests/s, {settings['arrivals']}, for {settings['duration']:g} s"
    )


def _provenance(result: Json) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in result["machine"].items())
    return f"{result['command']}\ncommit {result['commit']}\n{machine}"


def _cells(values: Json | None, names: Sequence[str]) -> list[str]:
    return [f"{values[name]:,.1f}" if values and name in values else "" for name in names]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<div class=wide><table><tr>{top}</tr>{body}</table></div>"


def _html(title: str, parts: Sequence[str]) -> str:
    name = escape(f"Load test: {title}")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}</title>"
        f'<meta name=viewport content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{name}</h1>{''.join(parts)}</html>\n"
    )
