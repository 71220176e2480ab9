"""The canary prober: labelled questions through the retriever's own API, round after round."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

import httpx2
import orjson

from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import CANARIES, CANARY_HIT_RATE, CANARY_MRR
from quality.canaries import Canaries, Labelled
from quality.evaluation import Evaluator, Sample, Unscored

logger = logging.getLogger(__name__)

DEEPEST = 10
"""Chunks that a search brings: the mean reciprocal rank is taken over them."""

_LOOK_AGAIN_SECONDS = 1.0

CANARY_HEADERS = {"baggage": f"{names.TRAFFIC}={names.CANARY_TRAFFIC}"}
"""What keeps these questions out of the users' metrics, and their answers from the evaluator."""

Result = Literal[
    "hit", "miss", "absent", "declined", "not_declined", "error", "judged_right", "judged_wrong"
]


class ProbeError(Exception):
    """The retriever could not be asked, or replied with an error."""


@dataclass(frozen=True, slots=True)
class Round:
    """What came of the questions of one round."""

    results: Counter[Result]
    reciprocal_ranks: Sequence[float]
    """One for each question that was a hit or a miss."""

    @property
    def hit_rate(self) -> float | None:
        """Hits among hits and misses; none where there were neither."""
        judged = self.results["hit"] + self.results["miss"]
        return self.results["hit"] / judged if judged else None

    @property
    def mrr(self) -> float | None:
        """The mean reciprocal rank; none where nothing was judged."""
        ranks = self.reciprocal_ranks
        return sum(ranks) / len(ranks) if ranks else None


class Prober:
    """Asks one retriever. The questions of a round follow each other: a probe is no load test."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        canaries: Canaries,
        *,
        k: int,
        timeout: float,
        judge: Evaluator | None = None,
    ) -> None:
        """`http` has the retriever's address, its key and `CANARY_HEADERS`; `timeout` in seconds.

        A question is a hit when its passage is among the first `k` chunks. A willing `judge` judges
        one of the statements each round.
        """
        self._http = http
        self._canaries = canaries
        self._k = k
        self._timeout = timeout
        self._judge = judge
        self._statements = cycle(canaries.judged)
        self.last: Round | None = None

    async def run(self, seconds: float) -> None:
        """A round every so many seconds, until cancelled; a late round delays the next.

        The first waits for the retriever to be ready: a stack that starts has not failed.
        """
        clock = asyncio.get_running_loop().time
        ready = False
        while True:
            started = clock()
            if ready := ready or await self._ready():
                await self.round()
            await asyncio.sleep(
                max(0.0, started + seconds - clock()) if ready else _LOOK_AGAIN_SECONDS
            )

    async def _ready(self) -> bool:
        try:
            reply = await self._http.get("/readyz")
        except httpx2.HTTPError:
            return False
        return reply.status_code == httpx2.codes.OK

    async def round(self) -> Round:
        """Ask everything once, and count it."""
        results: Counter[Result] = Counter()
        ranks: list[float] = []
        for labelled in self._canaries.retrieval:
            result, reciprocal_rank = await self._retrieval(labelled)
            self._count(results, result, labelled.question)
            if result in ("hit", "miss"):
                ranks.append(reciprocal_rank)
        for question in self._canaries.declined:
            self._count(results, await self._declined(question), question)
        await self._judged(results)
        self.last = Round(results, ranks)
        if self.last.hit_rate is not None and self.last.mrr is not None:
            CANARY_HIT_RATE.set(self.last.hit_rate)
            CANARY_MRR.set(self.last.mrr)
        return self.last

    def _count(self, results: Counter[Result], result: Result, question: str) -> None:
        results[result] += 1
        CANARIES.add(1, {names.RESULT: result})
        if result not in (
            "hit",
            "declined",
            "judged_right",
        ):  # the operator's own words, so they may be logged
            logger.warning("canary", extra={"result": result, "question": question})

    async def _retrieval(self, labelled: Labelled) -> tuple[Result, float]:
        """What came of the question, and its reciprocal rank: 0 where it was not found."""
        try:
            found = await self._search({"query": labelled.question, "top_k": DEEPEST})
            for rank, chunk in enumerate(found, start=1):
                if labelled.answered_by(chunk["source"], chunk["text"]):
                    return ("hit" if rank <= self._k else "miss"), 1 / rank
            # A document that is not there is no fault of the search.
            filters = {"source": labelled.source}
            there = await self._search({"query": labelled.question, "top_k": 1, "filters": filters})
            return ("miss" if there else "absent"), 0.0
        except ProbeError:
            return "error", 0.0

    async def _declined(self, question: str) -> Result:
        try:
            body = {"messages": [{"role": "user", "content": question}]}
            reply = await self._post("/v1/chat/completions", body)
            return "declined" if reply["grounding"]["abstained"] else "not_declined"
        except (ProbeError, KeyError, TypeError):
            return "error"

    async def _judged(self, results: Counter[Result]) -> None:
        """Have the next statement judged; a busy model leaves it uncounted."""
        statement = next(self._statements, None)
        if statement is None or self._judge is None or not self._judge.willing:
            return
        sample = Sample(
            response_id="canary", question="", answer=statement.statement,
            sources=[statement.passage],
        )  # fmt: skip
        try:
            said = await asyncio.wait_for(self._judge.evaluate(sample), self._timeout)
        except (Unscored, TimeoutError):
            return
        right = (said.label == "supported") == statement.supported
        self._count(results, "judged_right" if right else "judged_wrong", statement.statement)

    async def _search(self, body: dict[str, Any]) -> list[dict[str, str]]:
        reply = await self._post("/v1/search", body)
        try:
            return [{"source": hit["source"], "text": hit["text"]} for hit in reply["results"]]
        except (KeyError, TypeError) as error:
            raise ProbeError("unreadable") from error

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        """The reply's JSON; raises `ProbeError`."""
        try:
            reply = await asyncio.wait_for(self._http.post(path, json=body), self._timeout)
            reply.raise_for_status()
            return orjson.loads(reply.content)
        except (httpx2.HTTPError, TimeoutError, orjson.JSONDecodeError) as error:
            logger.warning("the retriever did not answer", extra={"reason": type(error).__name__})
            raise ProbeError(type(error).__name__) from error
