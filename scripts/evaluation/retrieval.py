"""Measures search: every judged query through POST /v1/search, scored against the judgements."""

from dataclasses import dataclass
from time import perf_counter

from evaluation.beir import Dataset
from evaluation.bootstrap import Estimate, estimate
from evaluation.client import RetrieverClient
from evaluation.metrics import METRICS
from evaluation.runner import check_whole, document_ids

# The retriever returns chunks and the judgements are of documents, so more chunks are asked for
# than documents are scored: several may come from one document.
CHUNKS_PER_DOCUMENT = 3
MOST_CHUNKS = 100


@dataclass(frozen=True)
class SearchSettings:
    """How to search; `rerank` None leaves it to the server."""

    mode: str
    top_k: int
    rerank: bool | None

    @property
    def chunks(self) -> int:
        """How many chunks are asked for."""
        return max(self.top_k, min(self.top_k * CHUNKS_PER_DOCUMENT, MOST_CHUNKS))


@dataclass(frozen=True)
class Ranking:
    """A query's documents, best first, with what the search took, in milliseconds."""

    query_id: str
    documents: list[str]
    latency_ms: float
    timings: dict[str, float]


async def search(
    client: RetrieverClient, dataset: Dataset, query_id: str, settings: SearchSettings
) -> Ranking:
    """Search for one query within its collection."""
    body = {
        "query": dataset.queries[query_id].text,
        "top_k": settings.chunks,
        "mode": settings.mode,
        "filters": {"collection": dataset.name},
    }
    if settings.rerank is not None:
        body["rerank"] = settings.rerank
    started = perf_counter()
    reply = await client.search(body)
    latency = (perf_counter() - started) * 1000
    check_whole(reply.degraded)
    documents = document_ids(dataset, reply.results)[: settings.top_k]
    return Ranking(query_id, documents, latency, reply.timings)


def cutoffs(top_k: int) -> list[int]:
    """The ranks at which metrics are given: 1, 5, 10 where they are under top_k, and top_k."""
    return sorted({k for k in (1, 5, 10) if k < top_k} | {top_k})


def score(dataset: Dataset, rankings: list[Ranking], top_k: int) -> dict[str, dict[str, float]]:
    """{query id: {"ndcg@10": value, ...}} for every metric at every cutoff."""
    return {
        ranking.query_id: {
            f"{name}@{k}": metric(ranking.documents, dataset.qrels[ranking.query_id], k)
            for name, metric in METRICS.items()
            for k in cutoffs(top_k)
        }
        for ranking in rankings
    }


def summarise(scores: dict[str, dict[str, float]], top_k: int, seed: int) -> dict[str, Estimate]:
    """The mean of each metric over the queries, with its interval."""
    # In the order of ids, so that the intervals do not depend on the order of the queries.
    rows = [scores[query_id] for query_id in sorted(scores)]
    names = [f"{name}@{k}" for name in METRICS for k in cutoffs(top_k)]
    return {name: estimate([row[name] for row in rows], seed=seed) for name in names}
