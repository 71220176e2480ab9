"""Whether one run was worse than another, beyond chance."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loading.errors import LoadError
from loading.outcome import Outcome
from loading.summary import Slo, timed

RESAMPLES = 1000
BLOCK_SECONDS = 1.0
"""Requests due in the same second are resampled together: they met the same queue."""
LEAST_EFFECT = 0.05
"""A difference below this share of A is not worth a word, however sure."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Number:
    """A percentile, in milliseconds, or a mean of what each request adds to it."""

    name: str
    values: Callable[[Outcome], list[float]]
    up_is_worse: bool
    percent: float | None = None

    def of(self, values: Values) -> float:
        """The number; not a number where nothing adds to it."""
        if not values.size:
            return float("nan")
        if self.percent is None:
            return float(values.mean())
        return float(np.percentile(values, self.percent)) * 1e3


@dataclass(frozen=True)
class Difference:
    """B against A in one number: relative change, its 95% interval, and what it means."""

    name: str
    a: float
    b: float
    change: float
    low: float
    high: float
    verdict: str
    """`worse`, `better` or `same`."""


@dataclass(frozen=True)
class Run:
    """A run that was written to a folder."""

    result: dict[str, Any]
    outcomes: list[Outcome]


def read(folder: Path) -> Run:
    """A run's result and requests, without its warm-up. Raises `LoadError` when it is no run."""
    known = {field.name for field in fields(Outcome)}
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        rows = (folder / "requests.jsonl").read_text(encoding="utf-8").splitlines()
        outcomes = [
            Outcome(**{name: value for name, value in json.loads(row).items() if name in known})
            for row in rows
        ]
        warmup = float(result["settings"]["warmup"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadError(f"{folder} does not hold a run: {error}") from error
    return Run(result, [outcome for outcome in outcomes if outcome.scheduled >= warmup])


def compare(a: Run, b: Run, seed: int = 0) -> list[Difference]:
    """Every number that both runs have, by a bootstrap over seconds of the schedule.

    Raises `LoadError` for runs that cannot be compared: other workloads or loads, or invalid ones.
    """
    for name in ("workload", "loop", "rate", "clients", "mix"):
        if a.result["settings"].get(name) != b.result["settings"].get(name):
            raise LoadError(f"the runs differ in {name}: they say nothing about each other")
    for name, run in (("A", a), ("B", b)):
        if not run.result["summary"]["valid"]:
            raise LoadError(f"run {name} is invalid: its generator was late")
    slo = Slo(**a.result["summary"]["slo_ms"])
    return [
        difference
        for number in _numbers(slo)
        if (difference := _difference(number, a.outcomes, b.outcomes, seed)) is not None
    ]


def _difference(number: Number, a: list[Outcome], b: list[Outcome], seed: int) -> Difference | None:
    one, two = number.of(_values(number, a)), number.of(_values(number, b))
    if np.isnan(one) or np.isnan(two):
        return None
    rng = np.random.default_rng(seed)
    spread = _resampled(number, b, rng) - _resampled(number, a, rng)
    scale = abs(one) if one else 1.0
    low, high = np.nanquantile(spread, [0.025, 0.975]) / scale
    change = (two - one) / scale
    verdict = "worse" if (change > 0) == number.up_is_worse else "better"
    if abs(change) < LEAST_EFFECT or low <= 0 <= high:
        verdict = "same"
    return Difference(number.name, one, two, change, float(low), float(high), verdict)


def _values(number: Number, outcomes: Iterable[Outcome]) -> Values:
    return np.array([value for one in outcomes for value in number.values(one)], dtype=np.float64)


def _resampled(number: Number, outcomes: list[Outcome], rng: np.random.Generator) -> Values:
    blocks: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        blocks.setdefault(int(outcome.scheduled / BLOCK_SECONDS), []).append(outcome)
    pool = [_values(number, block) for block in blocks.values()]
    draws = rng.integers(len(pool), size=(RESAMPLES, len(pool)))
    return np.array([number.of(np.concatenate([pool[n] for n in draw])) for draw in draws])


def _numbers(slo: Slo) -> list[Number]:
    def latency(one: Outcome) -> list[float]:
        return timed([one])

    def first(one: Outcome) -> list[float]:
        return _known(one.first)

    return [
        Number("latency p50, ms", latency, True, 50),
        Number("latency p95, ms", latency, True, 95),
        Number("latency p99, ms", latency, True, 99),
        Number("first token p50, ms", first, True, 50),
        Number("first token p95, ms", first, True, 95),
        Number("between tokens p50, ms", lambda one: one.gaps, True, 50),
        Number("goodput, share", lambda one: [float(slo.kept(one))], False),
        Number("errors, share", lambda one: [float(one.error is not None)], True),
        Number("hit, share", lambda one: _known(one.hit), False),
        Number("abstained, share", lambda one: _known(one.abstained), True),
        Number("unsupported, share", lambda one: _known(one.unsupported), True),
    ]


def _known(value: float | None) -> list[float]:
    return [] if value is None else [float(value)]
