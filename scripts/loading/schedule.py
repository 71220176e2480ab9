"""When requests are due: an open loop sends on a schedule, whatever the server does."""

from enum import StrEnum

import numpy as np

from loading.errors import LoadError


class Arrivals(StrEnum):
    """How requests arrive."""

    poisson = "poisson"
    constant = "constant"
    ramp = "ramp"


def arrivals(kind: Arrivals, rate: float, duration: float, seed: int) -> list[float]:
    """Seconds after the start at which requests are due, in order, all before `duration`.

    `poisson` has `rate` requests a second on average and `constant` exactly; `ramp` grows evenly
    from none to `rate`, at random within that. The same seed gives the same schedule.
    Raises `LoadError` for a rate or a duration that is not above 0.
    """
    if not (rate > 0 and duration > 0):
        raise LoadError("rate and duration must be above 0")
    if kind is Arrivals.constant:
        return [n / rate for n in range(int(np.ceil(rate * duration - 1e-9)))]
    rng = np.random.default_rng(seed)
    expected = rate * duration / (2 if kind is Arrivals.ramp else 1)
    # Arrivals at rate 1, mapped through the inverse of how many are expected by a time.
    steps = rng.exponential(size=int(expected + 10 * np.sqrt(expected) + 20)).cumsum()
    steps = steps[steps < expected]
    times = np.sqrt(2 * duration * steps / rate) if kind is Arrivals.ramp else steps / rate
    return [float(time) for time in times]
