"""Percentile bootstrap intervals over queries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
# Resamples are drawn in blocks of this many numbers, so memory stays small for any collection.
BLOCK = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its interval; `n` is the total of the denominators.

    The value is None where there was nothing to divide by, the ends also where no resample had.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


def estimate(
    numerators: Sequence[float],
    denominators: Sequence[float] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """sum(numerators) / sum(denominators) with its percentile interval (Efron 1979).

    One pair per query; without denominators it is the mean. Whole queries are resampled, so a
    ratio such as citation precision keeps the citations of an answer together. The same seed
    draws the same resamples: the result is a function of the arguments. Where every query has
    the same value the interval has no width; it does not then mean certainty.

    Raises ValueError for lengths that differ, or a confidence or a resample count out of range.
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError("resamples must be at least 1 and confidence between 0 and 1")
    top = np.asarray(numerators, dtype=np.float64)
    bottom = np.ones_like(top) if denominators is None else np.asarray(denominators, np.float64)
    if top.shape != bottom.shape:
        raise ValueError(f"{len(top)} numerators but {len(bottom)} denominators")
    total = float(bottom.sum())
    if total == 0:
        return Estimate(None, None, None, 0)
    rng = np.random.default_rng(seed)
    ratios: list[float] = []
    while len(ratios) < resamples:
        rows = min(resamples - len(ratios), max(1, BLOCK // len(top)))
        drawn = rng.integers(len(top), size=(rows, len(top)))
        tops, bottoms = top[drawn].sum(axis=1), bottom[drawn].sum(axis=1)
        # A resample without any denominator says nothing about the ratio: it is left out, as NaN.
        ratios.extend(np.divide(tops, bottoms, out=np.full(rows, np.nan), where=bottoms > 0))
    tail = (1 - confidence) / 2
    known = np.asarray(ratios)[~np.isnan(ratios)]
    value = float(top.sum()) / total
    if not known.size:
        return Estimate(value, None, None, int(total))
    low, high = np.quantile(known, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), int(total))


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """{"p50", "p95", "mean"} of some values, None of none."""
    if not values:
        return None
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": float(p50), "p95": float(p95), "mean": float(np.mean(values))}
