"""A round of canaries: every question has one outcome, and none hides in another's count."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from telemetry import Recorded

from quality.canaries import Canaries, Labelled, Statement
from quality.evaluation import Sample, Unscored, Verdict
from quality.prober import CANARY_HEADERS, Prober, Round

Handler = Callable[[httpx2.Request], httpx2.Response]

GOLD = {"source": "a.md", "text": "port 8080"}
OTHER = {"source": "b.md", "text": "soup"}
FOUND = Labelled(question="Which port?", source="a.md", text="8080")


def found(*chunks: dict[str, str]) -> Handler:
    """A retriever that finds these chunks; with a filter, those of its source."""

    def reply(request: httpx2.Request) -> httpx2.Response:
        wanted = json.loads(request.content).get("filters")
        results = [one for one in chunks if not wanted or one["source"] == wanted["source"]]
        return httpx2.Response(200, json={"results": results})

    return reply


def answering(grounding: Any) -> Handler:
    return lambda _: httpx2.Response(200, json={"grounding": grounding})


async def probe(canaries: Canaries, handler: Handler) -> Round:
    transport = httpx2.MockTransport(handler)
    async with httpx2.AsyncClient(
        base_url="http://retriever", transport=transport, headers=CANARY_HEADERS
    ) as http:
        return await Prober(http, canaries, k=2, timeout=60.0).round()


SEARCHES: dict[str, tuple[list[dict[str, str]], str, float]] = {
    "first": ([GOLD, OTHER], "hit", 1.0),
    "last that counts": ([OTHER, GOLD], "hit", 0.5),
    "too far down": ([OTHER, OTHER, GOLD], "miss", 1 / 3),
    "right document, wrong passage": ([{"source": "a.md", "text": "8081"}], "miss", 0.0),
    "another document": ([OTHER], "absent", 0.0),
    "nothing": ([], "absent", 0.0),
}


@pytest.mark.parametrize(("chunks", "result", "rank"), SEARCHES.values(), ids=SEARCHES.keys())
async def test_a_question_is_judged_by_the_rank_of_its_passage(
    chunks: list[dict[str, str]], result: str, rank: float
) -> None:
    recorded = Recorded()
    done = await probe(Canaries(retrieval=[FOUND]), found(*chunks))
    assert dict(done.results) == {result: 1}
    assert recorded.total("rag.retrieval.canary", rag_result=result) == 1
    assert recorded.total("rag.retrieval.canary") == 1
    assert list(done.reciprocal_ranks) == ([] if result == "absent" else [pytest.approx(rank)])


FAILURES: dict[str, Handler] = {
    "500": lambda _: httpx2.Response(500),
    "401": lambda _: httpx2.Response(401, json={"error": {"type": "unauthenticated"}}),
    "no JSON": lambda _: httpx2.Response(200, content=b"<html>"),
    "another shape": lambda _: httpx2.Response(200, json={"answers": []}),
    "a list": lambda _: httpx2.Response(200, json=[1]),
    "results of another shape": lambda _: httpx2.Response(200, json={"results": [{"id": 1}]}),
}


@pytest.mark.parametrize("handler", FAILURES.values(), ids=FAILURES.keys())
async def test_a_retriever_that_does_not_answer_is_an_error_and_no_miss(handler: Handler) -> None:
    canaries = Canaries(retrieval=[FOUND], declined=["Nothing?"])
    done = await probe(canaries, handler)
    assert dict(done.results) == {"error": 2}
    assert done.hit_rate is None
    assert done.mrr is None


async def test_a_retriever_that_hangs_is_an_error_after_the_timeout() -> None:
    async def hang(_: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError

    transport = httpx2.MockTransport(hang)
    async with httpx2.AsyncClient(base_url="http://retriever", transport=transport) as http:
        done = await Prober(http, Canaries(retrieval=[FOUND]), k=2, timeout=0.05).round()
    assert dict(done.results) == {"error": 1}


@pytest.mark.parametrize(
    ("grounding", "result"),
    [
        ({"abstained": True}, "declined"),
        ({"abstained": False}, "not_declined"),
        ({}, "error"),
        (None, "error"),
    ],
)
async def test_a_question_without_an_answer_must_be_declined(grounding: Any, result: str) -> None:
    def reply(request: httpx2.Request) -> httpx2.Response:
        is_chat = request.url.path == "/v1/chat/completions"
        return (answering(grounding) if is_chat else found(GOLD))(request)

    done = await probe(Canaries(retrieval=[FOUND], declined=["Nothing?"]), reply)
    assert dict(done.results) == {"hit": 1, result: 1}


async def test_rates_are_over_what_was_judged() -> None:
    absent = Labelled(question="Where?", source="gone.md")
    lower = Labelled(question="Which soup?", source="b.md")
    done = await probe(Canaries(retrieval=[FOUND, absent, lower]), found(GOLD, GOLD, OTHER))
    assert dict(done.results) == {"hit": 1, "absent": 1, "miss": 1}
    assert done.hit_rate == 0.5
    assert done.mrr == pytest.approx((1 + 1 / 3) / 2)


async def test_every_request_says_that_it_is_a_canarys() -> None:
    seen = []

    def reply(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["baggage"])
        return httpx2.Response(200, json={"results": [], "grounding": {"abstained": True}})

    await probe(Canaries(retrieval=[FOUND], declined=["Nothing?"]), reply)
    assert set(seen) == {"rag.traffic=canary"}
    assert len(seen) == 3


async def test_a_stack_that_starts_has_not_failed() -> None:
    asked: list[str] = []
    searched = asyncio.Event()

    def reply(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        if request.url.path == "/v1/search":
            searched.set()
        return httpx2.Response(503 if len(asked) == 1 else 200, json={"results": [GOLD]})

    async with httpx2.AsyncClient(
        base_url="http://retriever", transport=httpx2.MockTransport(reply)
    ) as http:
        prober = Prober(http, Canaries(retrieval=(FOUND,), declined=()), k=2, timeout=60.0)
        running = asyncio.create_task(prober.run(60))
        await asyncio.wait_for(searched.wait(), 10)
        running.cancel()
    assert asked == ["/readyz", "/readyz", "/v1/search"]


class Judge:
    """Finds every statement supported; `error` is what comes instead."""

    name = "judge"

    def __init__(self, willing: bool = True, error: Exception | None = None) -> None:
        self.willing = willing
        self.error = error
        self.asked: list[Sample] = []

    async def evaluate(self, sample: Sample) -> Verdict:
        self.asked.append(sample)
        if self.error is not None:
            raise self.error
        return Verdict("supported", 0.9)


async def test_one_labelled_statement_a_round_says_how_right_the_judge_is() -> None:
    recorded = Recorded()
    statements = [
        Statement(statement="It is 8080.", passage="Port 8080.", supported=True),
        Statement(statement="It is 8081.", passage="Port 8080.", supported=False),
    ]
    canaries = Canaries(retrieval=[FOUND], judged=statements)
    judge = Judge()
    async with httpx2.AsyncClient(
        base_url="http://retriever", transport=httpx2.MockTransport(found(GOLD))
    ) as http:
        prober = Prober(http, canaries, k=2, timeout=30, judge=judge)
        for result in ("judged_right", "judged_wrong", "judged_right"):
            assert dict((await prober.round()).results) == {"hit": 1, result: 1}
        for other in (Judge(willing=False), Judge(error=Unscored("model_unreachable")), None):
            silent = Prober(http, canaries, k=2, timeout=30, judge=other)
            assert dict((await silent.round()).results) == {"hit": 1}
    assert [(one.answer, one.sources) for one in judge.asked[:2]] == [
        ("It is 8080.", ["Port 8080."]),
        ("It is 8081.", ["Port 8080."]),
    ]
    assert recorded.total("rag.retrieval.canary", rag_result="judged_right") == 2
