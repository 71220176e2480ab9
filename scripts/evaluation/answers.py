"""Asks questions through POST /v1/chat/completions and judges what can be judged of the answers."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

from evaluation.beir import Dataset, sample
from evaluation.client import RetrieverClient
from evaluation.errors import MeasurementError
from evaluation.replies import ChatReply, Citation
from evaluation.runner import check_whole, document_ids
from evaluation.squad import contains_gold, normalise

# answerable: the gold paragraph can be found; left_out: a filter keeps it out;
# foreign: the question is of another collection.
Kind = Literal["answerable", "left_out", "foreign"]


@dataclass(frozen=True)
class ChatSettings:
    """How to ask; what is None is left to the server."""

    model: str
    stream: bool = False
    mode: str | None = None
    top_k: int | None = None
    rerank: bool | None = None
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class Question:
    """A question, its gold answers and paragraphs (document ids), and where it may look."""

    kind: Kind
    id: str
    text: str
    gold_answers: tuple[str, ...]
    gold_documents: frozenset[str]
    filters: dict[str, Any]

    @property
    def name(self) -> str:
        """Id for reports: one question is asked in two kinds."""
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True)
class CitationRecord:
    """A citation and what was found of it."""

    marker: str
    source: str
    start: int
    end: int
    quote: str
    gold: bool
    verified: bool


@dataclass(frozen=True)
class Record:
    """One question and its answer, judged; times in milliseconds."""

    kind: Kind
    id: str
    question: str
    answer: str
    gold_answers: tuple[str, ...]
    gold_documents: list[str]
    citations: list[CitationRecord]
    abstained: bool
    supported: bool
    unsupported: list[str]
    contains_gold: bool
    gold_retrieved: bool
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_ms: float
    first_token_ms: float | None
    timings: dict[str, float] = field(default_factory=dict)


def answerable(dataset: Dataset, count: int, seed: int) -> list[Question]:
    """A seeded sample of the questions that have a gold answer and a gold paragraph."""
    return [
        _question(dataset, "answerable", query_id, {"collection": dataset.name})
        for query_id in sample(_with_gold(dataset), count, seed)
    ]


def left_out(dataset: Dataset, count: int, seed: int) -> list[Question]:
    """The head of the same sample, with the gold paragraphs kept out of reach by a filter.

    Another paragraph may still hold the answer, so abstaining on all of them is not to be expected.
    """
    return [
        _question(
            dataset,
            "left_out",
            query_id,
            {
                "collection": dataset.name,
                "not": {"source": sorted(map(dataset.source, dataset.relevant(query_id)))},
            },
        )
        for query_id in sample(_with_gold(dataset), count, seed)
    ]


def foreign(dataset: Dataset, other: Dataset, count: int, seed: int) -> list[Question]:
    """A seeded sample of another collection's questions, asked of this one."""
    return [
        Question(
            "foreign",
            f"{other.name}/{query_id}",
            other.queries[query_id].text,
            (),
            frozenset(),
            {"collection": dataset.name},
        )
        for query_id in sample(list(other.queries), count, seed)
    ]


async def ask(
    client: RetrieverClient, dataset: Dataset, question: Question, settings: ChatSettings
) -> Record:
    """Ask one question and judge the answer.

    Raises MeasurementError where the reply was degraded or came from outside the filter.
    """
    started = perf_counter()
    first: float | None = None
    if settings.stream:
        reply, first = await client.chat_stream(_body(question, settings))
    else:
        reply = await client.chat(_body(question, settings))
    latency = (perf_counter() - started) * 1000
    check_whole(reply.retrieval.degraded)
    retrieved = set(document_ids(dataset, reply.retrieval.results))
    if question.kind == "left_out" and retrieved & question.gold_documents:
        raise MeasurementError("the paragraph that was to be left out was retrieved")
    cited = [await _judge(client, dataset, question, citation) for citation in reply.citations]
    answer = _answer(reply)
    # Without a prompt the model was not asked: no tokens, rather than none spent.
    usage = reply.usage if reply.usage and reply.usage.prompt_tokens else None
    return Record(
        kind=question.kind,
        id=question.id,
        question=question.text,
        answer=answer,
        gold_answers=question.gold_answers,
        gold_documents=sorted(question.gold_documents),
        citations=cited,
        abstained=reply.grounding.abstained,
        supported=reply.grounding.supported,
        unsupported=reply.grounding.unsupported,
        # The words of a refusal ("the documents do not say") may hold a gold answer by chance.
        contains_gold=not reply.grounding.abstained
        and contains_gold(answer, question.gold_answers),
        gold_retrieved=bool(retrieved & question.gold_documents),
        finish_reason=reply.choices[0].finish_reason,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        latency_ms=latency,
        first_token_ms=None if first is None else first * 1000,
        timings=reply.timings,
    )


async def _judge(
    client: RetrieverClient, dataset: Dataset, question: Question, citation: Citation
) -> CitationRecord:
    text = await client.text(citation.document_id)
    return CitationRecord(
        marker=citation.marker,
        source=citation.source,
        start=citation.start,
        end=citation.end,
        quote=citation.quote,
        gold=citation.source in map(dataset.source, question.gold_documents),
        verified=0 <= citation.start < citation.end
        and text[citation.start : citation.end] == citation.quote,
    )


def _question(dataset: Dataset, kind: Kind, query_id: str, filters: dict[str, Any]) -> Question:
    query = dataset.queries[query_id]
    relevant = dataset.relevant(query_id)
    return Question(kind, query_id, query.text, query.answers, relevant, filters)


def _with_gold(dataset: Dataset) -> list[str]:
    return [
        query.id
        for query in dataset.queries.values()
        if any(map(normalise, query.answers)) and dataset.relevant(query.id)
    ]


def _answer(reply: ChatReply) -> str:
    if not reply.choices:
        raise MeasurementError("the reply has no choices")
    return reply.choices[0].message.content


def _body(question: Question, settings: ChatSettings) -> dict[str, Any]:
    rag = {"mode": settings.mode, "top_k": settings.top_k, "rerank": settings.rerank}
    options = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
    return {
        "model": settings.model,
        "messages": [{"role": "user", "content": question.text}],
        "rag": {"filters": question.filters} | _given(rag),
    } | _given(options)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
