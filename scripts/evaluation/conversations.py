"""Measures what a question in a conversation finds, beside its last turn searched for alone.

Each conversation is asked through POST /v1/chat/completions with all its turns, and the last turn
through POST /v1/search. Both are scored by the documents of as many chunks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from evaluation.beir import Dataset, Turn
from evaluation.bootstrap import Estimate, estimate
from evaluation.client import RetrieverClient
from evaluation.errors import DatasetError
from evaluation.metrics import METRICS
from evaluation.runner import check_whole, document_ids

WAYS = ("in the conversation", "the last turn alone", "more")


@dataclass(frozen=True)
class Settings:
    """How many chunks are scored, and the longest answer: what it says is not measured."""

    top_k: int
    max_tokens: int


@dataclass(frozen=True)
class Conversation:
    """What one conversation found: documents, best first, by either way."""

    query_id: str
    turns: int
    queries: list[str]
    """What was searched for."""
    found: list[str]
    alone: list[str]


def messages(turns: Sequence[Turn]) -> list[BaseMessage]:
    """What was said, as a model reads it."""
    return [
        HumanMessage(turn.content) if turn.role == "user" else AIMessage(turn.content)
        for turn in turns
    ]


def several_turns(dataset: Dataset) -> list[str]:
    """The judged conversations of more than one turn of the user's; raises `DatasetError`."""
    ids = [
        query.id
        for query in dataset.queries.values()
        if sum(turn.role == "user" for turn in query.turns) > 1 and dataset.relevant(query.id)
    ]
    if not ids:
        raise DatasetError(f"{dataset.name} has no judged conversation of several `turns`")
    return ids


async def converse(
    client: RetrieverClient, dataset: Dataset, query_id: str, settings: Settings
) -> Conversation:
    """Ask one conversation within its collection, and its last turn alone."""
    query = dataset.queries[query_id]
    filters = {"collection": dataset.name}
    reply = await client.chat(
        {
            "messages": [{"role": turn.role, "content": turn.content} for turn in query.turns],
            "max_tokens": settings.max_tokens,
            "temperature": 0,
            "rag": {"top_k": settings.top_k, "filters": filters},
        }
    )
    body = {"query": query.turns[-1].content, "top_k": settings.top_k, "filters": filters}
    alone = await client.search(body)
    check_whole([*reply.retrieval.degraded, *alone.degraded])
    return Conversation(
        query_id,
        len(query.turns),
        reply.retrieval.queries,
        document_ids(dataset, reply.retrieval.results),
        document_ids(dataset, alone.results),
    )


def summarise(
    dataset: Dataset, done: list[Conversation], settings: Settings, seed: int
) -> dict[str, dict[str, Estimate]]:
    """{way: {"ndcg@5": estimate, ...}}; the last way is how much more a conversation finds."""
    ordered = sorted(done, key=lambda one: one.query_id)
    k = settings.top_k
    found: dict[str, dict[str, Estimate]] = {way: {} for way in WAYS}
    for name, metric in METRICS.items():
        judged = [dataset.qrels[one.query_id] for one in ordered]
        ours = [metric(one.found, qrels, k) for one, qrels in zip(ordered, judged, strict=True)]
        alone = [metric(one.alone, qrels, k) for one, qrels in zip(ordered, judged, strict=True)]
        more = [a - b for a, b in zip(ours, alone, strict=True)]
        for way, values in zip(WAYS, (ours, alone, more), strict=True):
            found[way][f"{name}@{k}"] = estimate(values, seed=seed)
    return found
