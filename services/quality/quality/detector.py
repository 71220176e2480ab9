"""An encoder that scores answers, behind one interface; the weights are the operator's."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from quality.evaluation import Sample, Unscored, Verdict


class Detector(Protocol):
    """A model. `score` is called from one thread, never from two."""

    def score(self, sample: Sample) -> float:
        """How far the answer follows from its sources, 0 to 1.

        Raises `Unscored("too_long")` instead of reading only a part.
        """
        ...


class DetectorEvaluator:
    """A detector as an evaluator: one thread computes, and a threshold makes the label."""

    def __init__(self, name: str, detector: Detector, threshold: float) -> None:
        """From `threshold` up an answer is supported."""
        self.name = name
        self.willing = True
        self._detector = detector
        self._threshold = threshold
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="detector")

    async def evaluate(self, sample: Sample) -> Verdict:
        """The detector's verdict; raises `Unscored`."""
        loop = asyncio.get_running_loop()
        score = await loop.run_in_executor(self._compute, self._detector.score, sample)
        return Verdict("supported" if score >= self._threshold else "unsupported", score)


def too_long(tokens: int, most: int) -> None:
    """Raise `Unscored` where there are more tokens than a detector may read."""
    if tokens > most:
        raise Unscored("too_long")
