"""The judges of several model servers, as one: the first that can be asked judges."""

import asyncio
from collections.abc import Sequence

from quality.evaluation import Sample, Unscored, Verdict
from quality.judge import Judge


class Judges:
    """In the order of `QUALITY_LLM_URL`. Each judges by the threshold of its own model."""

    name = Judge.name

    def __init__(self, judges: Sequence[Judge]) -> None:
        self._judges = judges

    @property
    def willing(self) -> bool:
        """Whether one of them may judge."""
        return any(judge.willing for judge in self._judges)

    @property
    def trouble(self) -> str:
        """Why nothing is judged, in words; empty where one of them does."""
        return "" if any(not one.trouble for one in self._judges) else self._judges[0].trouble

    async def watch(self) -> None:
        """Look which models are served, again and again, until cancelled."""
        await asyncio.gather(*(judge.watch() for judge in self._judges))

    async def evaluate(self, sample: Sample) -> Verdict:
        """The verdict of the first that may judge and is reached. Raises `Unscored`."""
        failure = Unscored("not_calibrated")
        for judge in self._judges:
            if not judge.willing:
                continue
            try:
                return await judge.evaluate(sample)
            except Unscored as error:
                if str(error) != "model_unreachable":
                    raise
                failure = error
        raise failure
