"""The numbers of a run."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evaluation.bootstrap import estimate
from loading.errors import LoadError
from loading.outcome import Outcome

PERCENTS = (50, 90, 95, 99, 99.9)
LAG_SHARE, LAG_LEAST = 0.05, 0.002
"""A run is invalid when the generator's p99 lag is over 5% of the median latency, and over 2 ms."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Slo:
    """What a good request keeps, in milliseconds; none is not asked for."""

    ttft: float | None = None
    """Time to the first words."""
    itl: float | None = None
    """Mean time between words."""
    e2e: float | None = None
    """The whole request."""

    def kept(self, outcome: Outcome) -> bool:
        """Whether a request had a good reply, in time."""
        if outcome.error is not None:
            return False
        first, gaps = outcome.first, outcome.gaps
        late = self.e2e is not None and outcome.latency * 1e3 > self.e2e
        silent = self.ttft is not None and first is not None and first * 1e3 > self.ttft
        slow = self.itl is not None and bool(gaps) and float(np.mean(gaps)) * 1e3 > self.itl
        return not (late or silent or slow)


def parse_slo(text: str) -> Slo:
    """`ttft=300,itl=100,e2e=3000`, milliseconds. Raises `LoadError` for anything else."""
    values: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name.strip() not in ("ttft", "itl", "e2e"):
            raise LoadError(f"slo: {name!r} is none of ttft, itl, e2e")
        try:
            values[name.strip()] = float(value)
        except ValueError as error:
            raise LoadError(f"slo: {value!r} is not a number of milliseconds") from error
    return Slo(**values)


def summarise(outcomes: Sequence[Outcome], slo: Slo, warmup: float, open_loop: bool) -> Json:
    """Every number of a run, for all calls together and for each; milliseconds.

    What was due before `warmup` seconds is left out. Raises `LoadError` where nothing is left.
    """
    kept = [outcome for outcome in outcomes if outcome.scheduled >= warmup]
    if not kept:
        raise LoadError("no request was due after the warm-up")
    calls = sorted({outcome.call for outcome in kept})
    lag = percentiles(outcome.lag for outcome in kept)
    latency = percentiles(timed(kept))
    valid = True
    if open_loop and lag is not None:
        p50 = latency["p50"] if latency else 0.0
        valid = lag["p99"] <= max(LAG_SHARE * p50, LAG_LEAST * 1e3)
    return {
        "valid": valid,
        "loop": "open" if open_loop else "closed",
        "lag_ms": lag,
        "slo_ms": asdict(slo),
        "calls": {
            call: _of_calls([outcome for outcome in kept if outcome.call == call], slo)
            for call in calls
        },
        "all": _of_calls(kept, slo),
    }


def timed(outcomes: Iterable[Outcome]) -> list[float]:
    """Latencies that count, in seconds: of good replies, and of timeouts what was waited."""
    return [one.latency for one in outcomes if one.error in (None, "timeout")]


def percentiles(seconds: Iterable[float]) -> dict[str, float] | None:
    """Percentiles, mean and most, in milliseconds, with the number of values."""
    values = np.fromiter(seconds, dtype=np.float64) * 1e3
    if not values.size:
        return None
    found = {f"p{p:g}": float(np.percentile(values, p)) for p in PERCENTS}
    return found | {"mean": float(values.mean()), "max": float(values.max()), "n": len(values)}


def _of_calls(outcomes: Sequence[Outcome], slo: Slo) -> Json:
    good = [outcome for outcome in outcomes if outcome.error is None]
    # From the first request due to the last reply: what the server was busy with.
    span = max(o.end for o in outcomes) - min(o.scheduled for o in outcomes)
    span = max(span, 1e-9)
    kept = [slo.kept(outcome) for outcome in outcomes]
    pieces = sum(len(outcome.tokens_at) for outcome in good)
    reported = [o.completion_tokens for o in good if o.completion_tokens is not None]
    return {
        "requests": len(outcomes),
        "seconds": span,
        "requests_per_second": len(good) / span,
        "errors": dict(Counter(o.error for o in outcomes if o.error is not None)),
        "goodput": {"per_second": sum(kept) / span, "share": asdict(estimate(kept))},
        "latency_ms": percentiles(timed(outcomes)),
        "service_ms": percentiles(o.end - o.sent for o in good),
        "first_token_ms": percentiles(o.first for o in good if o.first is not None),
        "between_tokens_ms": percentiles(gap for o in good for gap in o.gaps),
        "tokens": {
            "pieces": pieces,
            "completion": sum(reported),
            "prompt": sum(o.prompt_tokens or 0 for o in good),
            "completion_per_second": (sum(reported) or pieces) / span,
            "pieces_to_completion": pieces / sum(reported) if sum(reported) else None,
        },
        "stages": _stages(good),
        "quality": {
            "hit": _share(o.hit for o in good),
            "abstained": _share(o.abstained for o in good),
            "unsupported": _share(o.unsupported for o in good),
        },
    }


def _stages(outcomes: Iterable[Outcome]) -> Json:
    """Of each stage that the server timed: percentiles, and its share of the server's total."""
    columns: dict[str, list[float]] = {}
    for outcome in outcomes:
        for stage, milliseconds in outcome.timings.items():
            columns.setdefault(stage, []).append(milliseconds / 1e3)
    total = sum(columns.get("total", []))
    return {
        stage: (percentiles(values) or {}) | {"share": sum(values) / total if total else None}
        for stage, values in columns.items()
    }


def _share(judged: Iterable[bool | None]) -> Json:
    return asdict(estimate([float(one) for one in judged if one is not None]))
