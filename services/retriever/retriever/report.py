"""What happened on the way of one question: how long each stage took, what had to be left out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.baggage import get_baggage

from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import DEGRADED, STAGE_DURATION, TOP1_SCORE


class Report:
    """Filled in by every stage of a request and handed out with its answer."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        canary = get_baggage(names.TRAFFIC) == names.CANARY_TRAFFIC
        self.traffic = names.CANARY_TRAFFIC if canary else names.USER_TRAFFIC
        """Who asks: metrics keep the canary prober's questions apart from the users'."""
        self.timings: dict[str, float] = {}
        """Milliseconds a stage, in the order in which the stages first ran."""
        self.first_word: float | None = None
        """Seconds from the making of this report to the first word of the answer."""
        self.model = ""
        """The model that answers, once it has said something."""
        self.top1_score: float | None = None
        """The best chunk's cosine."""
        self.degraded: list[str] = []
        """The parts that were down and done without."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the body towards stage `name`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Count `seconds` towards stage `name`."""
        self.timings[name] = round(self.timings.get(name, 0.0) + seconds * 1000, 3)

    def word(self) -> None:
        """Note that a word of the answer is there."""
        if self.first_word is None:
            self.first_word = time.perf_counter() - self._started

    def degrade(self, part: str) -> None:
        """Note that `part` was done without."""
        if part not in self.degraded:
            self.degraded.append(part)

    def finish(self) -> None:
        """Note the whole time, from the making of this report to now, and count all of it."""
        self._count()
        self.timings["total"] = round((time.perf_counter() - self._started) * 1000, 3)

    def _count(self) -> None:
        traffic = {names.TRAFFIC: self.traffic}
        for stage, milliseconds in self.timings.items():
            STAGE_DURATION.record(milliseconds / 1000, {names.STAGE: stage, **traffic})
        if self.top1_score is not None:
            # A histogram takes no negative value; its lowest bucket is where one belongs.
            TOP1_SCORE.record(max(self.top1_score, 0.0), traffic)
        for part in self.degraded:
            DEGRADED.add(1, {names.STAGE: part, **traffic})
