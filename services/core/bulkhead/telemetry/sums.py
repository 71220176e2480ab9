"""Counters that add up here, and are read when metrics are exported.

OpenTelemetry's own check, hash and lock at every addition, which takes 8 µs where nothing else runs
and more between other work; a question makes a dozen. These take 1 µs (docs/performance.md). They
have no exemplars; histograms do.
"""

import threading
from collections.abc import Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation


class _Sums:
    def __init__(self, name: str) -> None:
        self._name = name
        self._sums: dict[frozenset[tuple[str, str]], float] = {}
        self._lock = threading.Lock()

    def add(self, amount: float, labels: Mapping[str, str] | None = None) -> None:
        """Add to the sum with these labels, of which there must be few."""
        key = frozenset(labels.items()) if labels else frozenset()
        with self._lock:
            self._sums[key] = self._sums.get(key, 0) + amount

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            sums = list(self._sums.items())
        return [Observation(total, dict(labels)) for labels, total in sums]


class Counter(_Sums):
    """What only grows."""

    def __init__(self, meter: Meter, name: str, unit: str, description: str) -> None:
        super().__init__(name)
        meter.create_observable_counter(name, [self._observe], unit, description)


class UpDownCounter(_Sums):
    """What grows and shrinks."""

    def __init__(self, meter: Meter, name: str, unit: str, description: str) -> None:
        super().__init__(name)
        meter.create_observable_up_down_counter(name, [self._observe], unit, description)
