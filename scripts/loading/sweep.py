"""The knee: the highest rate at which a server still keeps its promises."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import sqrt

from loading.errors import LoadError

Measure = Callable[[float], Awaitable[float]]
"""The share of requests that kept the SLOs at a rate."""


@dataclass(frozen=True)
class Step:
    """One run of a sweep."""

    rate: float
    goodput: float


@dataclass(frozen=True)
class Knee:
    """The highest rate that held and the lowest that did not; none where there was none."""

    holds: float | None
    fails: float | None
    steps: list[Step]


async def find_knee(
    measure: Measure, low: float, high: float, target: float, precision: float
) -> Knee:
    """Bisect between two rates until they are within `precision` of each other (0.1: 10%).

    A rate holds when at least `target` of its requests kept the SLOs. Rates are halved by ratio,
    for what matters of a rate is its order. Raises `LoadError` unless 0 < low < high.
    """
    if not 0 < low < high:
        raise LoadError("sweep: 0 < low < high")
    steps: list[Step] = []

    async def holds(rate: float) -> bool:
        steps.append(Step(rate, await measure(rate)))
        return steps[-1].goodput >= target

    if not await holds(low):
        return Knee(None, low, steps)
    if await holds(high):
        return Knee(high, None, steps)
    while high / low > 1 + precision:
        middle = sqrt(low * high)
        if await holds(middle):
            low = middle
        else:
            high = middle
    return Knee(low, high, steps)
