"""The line before an evaluator: bounded, counted, and one bad answer does not end it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opentelemetry.trace import get_current_span
from telemetry import Recorded

from bulkhead.telemetry.spans import span
from quality.combined import combined
from quality.evaluation import Label, Sample, Unscored, Verdict
from quality.line import Line


class Scripted:
    """Says what the answer tells it to; `gate` holds it back."""

    def __init__(self, name: str = "scripted") -> None:
        self.name = name
        self.willing = True
        self.gate = asyncio.Event()
        self.gate.set()
        self.began = asyncio.Event()

    async def evaluate(self, sample: Sample) -> Verdict:
        self.began.set()
        await self.gate.wait()
        if sample.answer == "crash":
            raise RuntimeError("the secret words of the answer")
        if sample.answer == "unscored":
            raise Unscored("too_long")
        good = sample.answer == "good"
        return Verdict("supported" if good else "unsupported", 0.9 if good else 0.1)


def sample(answer: str, response_id: str = "id-1") -> Sample:
    return Sample(response_id=response_id, question="marzipan?", answer=answer, sources=["text"])


@asynccontextmanager
async def running(line: Line) -> AsyncIterator[None]:
    task = asyncio.create_task(line.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until_scored(recorded: Recorded, count: int) -> None:
    async with asyncio.timeout(60):
        while recorded.total("rag.evaluations") < count:  # noqa: ASYNC110 - a metric has no event
            await asyncio.sleep(0)


async def test_each_verdict_has_its_label_and_a_failure_is_unscored() -> None:
    recorded = Recorded()
    line = Line(Scripted(), 8)
    async with running(line):
        for answer in ("good", "bad", "unscored", "crash", "good"):
            assert line.offer(sample(answer))
        await until_scored(recorded, 5)
    for label, count in {"supported": 2, "unsupported": 1, "unscored": 2}.items():
        assert recorded.total("rag.evaluations", gen_ai_evaluation_score_label=label) == count
    assert recorded.total("rag.evaluation.eligible", rag_evaluator="scripted") == 5
    assert recorded.total("rag.evaluation.duration", rag_evaluator="scripted") == 5


async def test_verdicts_are_combined_with_the_lexical_checks_under_a_name_of_their_own() -> None:
    recorded = Recorded()
    line = Line(Scripted(), 8, together=True)
    said: list[tuple[str, Label | None]] = [
        ("good", "supported"),
        ("good", "unsupported"),
        ("bad", "supported"),
        ("unscored", "supported"),
        ("good", None),
    ]
    async with running(line):
        for answer, lexical in said:
            assert line.offer(sample(answer).model_copy(update={"lexical": lexical}))
        await until_scored(recorded, 9)
    label = "gen_ai_evaluation_score_label"
    for name, counts in {"scripted": (3, 1, 1), "lexical+judge": (1, 2, 1)}.items():
        for verdict, count in zip(("supported", "unsupported", "unscored"), counts, strict=True):
            total = recorded.total("rag.evaluations", rag_evaluator=name, **{label: verdict})
            assert total == count, (name, verdict)
        assert recorded.total("rag.evaluation.eligible", rag_evaluator=name) == sum(counts)
    results = [one for one in recorded.spans() if one.name == "gen_ai.evaluation.result"]
    assert len(results) == 9
    # What either objects to, both together do, and the score says who: below 0 the lexical check.
    assert combined("unsupported", Verdict("supported", 0.9)) == Verdict("unsupported", 0.9 - 1)


async def test_an_evaluator_that_is_not_willing_is_offered_nothing_and_counts_nothing() -> None:
    recorded = Recorded()
    evaluator = Scripted()
    evaluator.willing = False
    assert not Line(evaluator, 8).offer(sample("good"))
    assert recorded.total("rag.evaluation.eligible") == 0


async def test_a_full_line_drops_and_counts_and_never_waits() -> None:
    recorded = Recorded()
    slow = Scripted()
    slow.gate.clear()
    line = Line(slow, 2)
    async with running(line):
        assert line.offer(sample("good"))
        await slow.began.wait()  # one is at work, two wait
        assert [line.offer(sample("good")) for _ in range(4)] == [True, True, False, False]
        assert recorded.total("rag.evaluation.dropped", rag_stage="queue") == 2
        slow.gate.set()
        await until_scored(recorded, 3)
    assert recorded.total("rag.evaluation.eligible") == 5


async def test_a_slow_evaluator_holds_up_no_other() -> None:
    recorded = Recorded()
    slow = Scripted("slow")
    slow.gate.clear()
    lines = [Line(slow, 2), Line(Scripted("fast"), 2)]
    async with running(lines[0]), running(lines[1]):
        assert all(line.offer(sample("good")) for line in lines)
        await until_scored(recorded, 1)
    assert recorded.total("rag.evaluations", rag_evaluator="fast") == 1
    assert recorded.total("rag.evaluations", rag_evaluator="slow") == 0


async def test_only_the_share_is_drawn_and_all_of_it_counts_as_eligible() -> None:
    recorded = Recorded()
    line = Line(Scripted(), 1000, share=0.2)
    drawn = sum(line.offer(sample("good", f"id-{n}")) for n in range(1000))
    assert 150 < drawn < 250
    assert recorded.total("rag.evaluation.eligible") == 1000
    assert recorded.total("rag.evaluation.dropped") == 0


async def test_a_verdict_belongs_to_the_trace_of_its_answer_and_tells_no_words() -> None:
    recorded = Recorded()
    line = Line(Scripted(), 8)
    async with running(line):
        with span("the answer"):
            answer = get_current_span().get_span_context()
            line.offer(sample("good", "chatcmpl-7"))
            line.offer(sample("crash", "chatcmpl-7"))
        await until_scored(recorded, 2)
    results = [one for one in recorded.spans() if one.name == "gen_ai.evaluation.result"]
    assert len(results) == 2
    for one in results:
        assert one.parent is not None
        assert (one.parent.trace_id, one.parent.span_id) == (answer.trace_id, answer.span_id)
        assert one.attributes is not None
        assert one.attributes["gen_ai.response.id"] == "chatcmpl-7"
        assert "marzipan" not in one.to_json()
        assert "secret" not in one.to_json()
    assert results[0].attributes is not None
    assert results[0].attributes["gen_ai.evaluation.score.value"] == 0.9
