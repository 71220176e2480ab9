"""The line before an evaluator: bounded, worked off one by one, everything counted."""

import asyncio
import logging
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import Span

from bulkhead.sampling import sampled
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import (
    EVALUATION_DROPPED,
    EVALUATION_DURATION,
    EVALUATION_ELIGIBLE,
    EVALUATIONS,
)
from bulkhead.telemetry.spans import failed, span
from quality.combined import NAME, combined
from quality.evaluation import Evaluator, Sample, Unscored, Verdict

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    sample: Sample
    context: Context


class Line:
    """Answers that wait for one evaluator. A slow evaluator holds up no other."""

    def __init__(
        self, evaluator: Evaluator, places: int, share: float = 1.0, together: bool = False
    ) -> None:
        """`places` answers may wait; of those offered, `share` is drawn.

        With `together` each verdict is also counted combined with the lexical check's.
        """
        self.evaluator = evaluator
        self._share = share
        self._together = together
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(places)
        self._about = {
            names.EVALUATION_NAME: "support",
            names.EVALUATOR: evaluator.name,
            names.TRAFFIC: names.USER_TRAFFIC,
        }
        self._about_both = {**self._about, names.EVALUATOR: NAME}

    def offer(self, sample: Sample) -> bool:
        """Whether the answer will be evaluated: not when it is not drawn, or all places are taken.

        The trace that it belongs to is the current one.
        """
        if not self.evaluator.willing:
            return False
        EVALUATION_ELIGIBLE.add(1, self._about)
        if self._together and sample.lexical is not None:
            EVALUATION_ELIGIBLE.add(1, self._about_both)
        if not sampled(sample.response_id, self._share, self.evaluator.name):
            return False
        try:
            self._queue.put_nowait(_Waiting(sample, get_current()))
        except asyncio.QueueFull:
            stage = {names.STAGE: "queue", names.EVALUATOR: self.evaluator.name}
            EVALUATION_DROPPED.add(1, {**stage, names.TRAFFIC: names.USER_TRAFFIC})
            return False
        return True

    async def run(self) -> None:
        """Evaluate what waits, until cancelled."""
        while True:
            waiting = await self._queue.get()
            token = attach(waiting.context)
            try:
                await self._evaluate(waiting.sample)
            finally:
                detach(token)

    async def _evaluate(self, sample: Sample) -> None:
        verdict: Verdict | None = None
        started = time.perf_counter()
        with _result(self._about, sample) as current:
            try:
                verdict = await self.evaluator.evaluate(sample)
            except Unscored as error:
                current.set_attribute(names.ERROR_TYPE, str(error))
            except Exception as error:  # one answer must not end the line
                logger.exception("an evaluator failed", extra={"evaluator": self.evaluator.name})
                failed(current, error)
            _count(current, verdict, self._about)
        EVALUATION_DURATION.record(time.perf_counter() - started, self._about)
        if self._together and sample.lexical is not None:
            with _result(self._about_both, sample) as current:
                both = combined(sample.lexical, verdict) if verdict else None
                _count(current, both, self._about_both)


def _result(about: dict[str, str], sample: Sample) -> AbstractContextManager[Span]:
    return span(names.EVALUATION_RESULT, {**about, names.RESPONSE_ID: sample.response_id})


def _count(current: Span, verdict: Verdict | None, about: dict[str, str]) -> None:
    label = verdict.label if verdict else "unscored"
    if verdict:
        current.set_attribute(names.EVALUATION_SCORE, verdict.score)
    current.set_attribute(names.EVALUATION_LABEL, label)
    EVALUATIONS.add(1, {names.EVALUATION_LABEL: label, **about})
