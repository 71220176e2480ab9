"""What the services count, from their own `/metrics`, at one time."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from embedded.parts import Part

_LABEL = tuple[tuple[str, str], ...]


class Counts:
    """Every series of the services at one time."""

    def __init__(
        self, series: Mapping[tuple[str, _LABEL], float], at: float, silent: Sequence[str] = ()
    ) -> None:
        """`silent` names the parts that did not answer."""
        self._series = series
        self.at = at
        self.silent = silent

    @classmethod
    def read(cls, parts: Sequence[Part]) -> "Counts":
        """What the parts say now; of one that does not answer only that it does not."""
        series: dict[tuple[str, _LABEL], float] = {}
        silent = []
        for part in parts:
            if not part.health:  # it speaks no HTTP
                continue
            try:
                series.update(_scraped(part))
            except (httpx2.HTTPError, ValueError):
                silent.append(part.name)
        return cls(series, time.monotonic(), silent)

    def since(self, before: "Counts") -> "Counts":
        """How much each series grew; one that shrank belongs to a process that was restarted."""
        grown = {
            key: value - old if value >= (old := before._series.get(key, 0.0)) else value
            for key, value in self._series.items()
        }
        return Counts(grown, self.at, self.silent)

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series of this name with these labels."""
        return sum(value for _, value in self._found(name, labels))

    def values(self, name: str, label: str) -> list[str]:
        """The values of a label in the series of this name."""
        return sorted({there[label] for there, _ in self._found(name, {}) if label in there})

    def quantile(self, share: float, name: str, **labels: str) -> float | None:
        """The value of a histogram below which this share lies, as Prometheus estimates it.

        None where nothing was recorded. Within a bucket values are taken to lie evenly; of what
        is above the highest bound only that is known, and the bound is given.
        """
        buckets: dict[float, float] = {}
        for there, value in self._found(f"{name}_bucket", labels):
            bound = float(there["le"])
            buckets[bound] = buckets.get(bound, 0.0) + value
        count = buckets.get(math.inf, 0.0)
        if not count:
            return None
        wanted, lower, below = share * count, 0.0, 0.0
        for bound, until in sorted(buckets.items()):
            if bound == math.inf:
                break
            if until >= wanted and until > below:
                return lower + (bound - lower) * (wanted - below) / (until - below)
            lower, below = bound, until
        return lower

    def _found(
        self, name: str, labels: Mapping[str, str]
    ) -> Iterator[tuple[Mapping[str, str], float]]:
        for (found, there), value in self._series.items():
            if found == name and labels.items() <= (told := dict(there)).items():
                yield told, value


def _scraped(part: Part) -> Iterator[tuple[tuple[str, _LABEL], float]]:
    url = part.url
    reply = httpx2.get(f"{url}/metrics", headers=part.headers(), timeout=5, trust_env=False)
    page = reply.raise_for_status().text
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            # Whose series it is: two services may count the same.
            labels = {**sample.labels, "service": url}
            yield (sample.name, tuple(sorted(labels.items()))), sample.value
