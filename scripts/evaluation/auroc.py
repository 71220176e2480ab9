"""How well a score parts two kinds."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evaluation.bootstrap import CONFIDENCE, Estimate

RESAMPLES = 500


def auroc(
    positives: Sequence[float], negatives: Sequence[float], *, seed: int = 0
) -> Estimate | None:
    """The chance that a positive scores above a negative, ties counting half; none without both.

    With its percentile bootstrap interval, positives and negatives drawn apart. `n` counts both.
    """
    if not positives or not negatives:
        return None
    above, below = np.asarray(positives, np.float64), np.asarray(negatives, np.float64)
    rng = np.random.default_rng(seed)
    drawn = [
        _area(rng.choice(above, above.size), rng.choice(below, below.size))
        for _ in range(RESAMPLES)
    ]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(_area(above, below), float(low), float(high), above.size + below.size)


def _area(above: npt.NDArray[np.float64], below: npt.NDArray[np.float64]) -> float:
    ordered = np.sort(below)
    under = np.searchsorted(ordered, above, "left")
    tied = np.searchsorted(ordered, above, "right") - under
    return float((under + tied / 2).mean() / below.size)
