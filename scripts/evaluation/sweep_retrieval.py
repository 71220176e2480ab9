"""Compare chunk sizes, BM25 constants and fusions on a judged collection, without an index.

Embeds every chunk once through a running embedding service and scores all else in memory, as Qdrant
would: minutes for what would be an ingestion a setting. What wins is confirmed with `eval.py`.

    python -m evaluation.sweep_retrieval --data ../shared/data/cranfield
"""

import base64
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Annotated

import httpx2
import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from evaluation.beir import Dataset, load
from evaluation.metrics import hit, ndcg
from retriever.index.sparse import stop_terms, terms
from retriever.ingest.chunk import Chunker

Scores = npt.NDArray[np.float64]
Fusion = Callable[[Scores, Scores], Scores]

CHUNKS = ((128, 0), (200, 0), (200, 60), (240, 80))
"""Most tokens of a chunk, and how many of them the next chunk repeats."""
BM25 = ((0.9, 0.4), (1.2, 0.75), (1.5, 0.75))
PREFETCH = 200


@contextmanager
def service(url: str) -> Iterator[httpx2.Client]:
    """The embedding service at `url`. Without it the command ends with 1 and one line."""
    try:
        with httpx2.Client(base_url=url, timeout=600, trust_env=False) as http:
            yield http
    except httpx2.ConnectError as error:
        words = f"no embedding service at {url} ({error}): start the stack with `make serve`"
        Console(stderr=True).print(words, style="bold red", markup=False)
        raise typer.Exit(1) from error


def embed(http: httpx2.Client, texts: Sequence[str], kind: str) -> Scores:
    """Unit vectors of shape (texts, dimension)."""
    rows = []
    for first in range(0, len(texts), 128):
        body = {"input": texts[first : first + 128], "encoding_format": "base64"}
        reply = http.post("/v1/embeddings", json={**body, "input_type": kind}).raise_for_status()
        rows += [
            np.frombuffer(base64.b64decode(item["embedding"]), "<f4")
            for item in reply.json()["data"]
        ]
    return np.asarray(rows, dtype=np.float64)


def bm25(texts: Sequence[str], queries: Sequence[str], k1: float, b: float) -> Scores:
    """BM25 of shape (queries, texts), with the IDF that Qdrant uses."""
    documents = [Counter(terms(text, "english")) for text in texts]
    lengths = np.array([counts.total() for counts in documents])
    norms = k1 * (1 - b + b * lengths / lengths.mean())
    postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for n, counts in enumerate(documents):
        for term, count in counts.items():
            postings[term].append((n, count))
    scores = np.zeros((len(queries), len(texts)))
    for row, query in enumerate(queries):
        for term in set(terms(query, "english")) - stop_terms("english"):
            found = postings.get(term, [])
            idf = math.log(1 + (len(texts) - len(found) + 0.5) / (len(found) + 0.5))
            for n, count in found:
                scores[row, n] += idf * count * (k1 + 1) / (count + norms[n])
    return scores


def rrf(k: int) -> Fusion:
    """Reciprocal rank fusion of two rows of scores (Cormack et al. 2009), ranks from 0."""

    def fuse(dense: Scores, sparse: Scores) -> Scores:
        fused = np.zeros(len(dense))
        for leg in (dense, sparse):
            best = np.argsort(-leg, kind="stable")[:PREFETCH]
            fused[best] += 1 / (k + np.arange(len(best)))
        return fused

    return fuse


def dbsf(dense: Scores, sparse: Scores) -> Scores:
    """Qdrant's distribution-based fusion: each leg scaled by its mean and three deviations."""
    fused = np.zeros(len(dense))
    for leg in (dense, sparse):
        best = np.argsort(-leg, kind="stable")[:PREFETCH]
        mean, deviation = leg[best].mean(), leg[best].std(ddof=1) or 1.0
        fused[best] += (leg[best] - (mean - 3 * deviation)) / (6 * deviation)
    return fused


FUSIONS: dict[str, Fusion] = {
    "dense": lambda dense, _: dense,
    "bm25": lambda _, sparse: sparse,
    "rrf 2": rrf(2),
    "rrf 15": rrf(15),
    "rrf 60": rrf(60),
    "dbsf": dbsf,
}


def first_of_each(owners: Sequence[str], order: Iterable[int]) -> list[str]:
    """The documents of the chunks in `order`, each once, at most ten."""
    seen = dict.fromkeys(owners[n] for n in order)
    return list(seen)[:10]


def sweep(http: httpx2.Client, dataset: Dataset, queries: int) -> Iterable[tuple[str, ...]]:
    """A row for every setting: chunk size, overlap, k1, b, fusion, nDCG@10, hit@5."""
    tokenizer = Tokenizer.from_str(http.get("/v1/tokenizer").raise_for_status().text)
    asked = [key for key in dataset.queries if dataset.qrels.get(key)][:queries]
    questions = [dataset.queries[key].text for key in asked]
    vectors = embed(http, questions, "query")
    for size, overlap in CHUNKS:
        chunker = Chunker(tokenizer, size, overlap)
        owners, texts = [], []
        for document in dataset.corpus.values():
            for chunk in chunker.split(document.text, markdown=False):
                owners.append(document.id)
                texts.append(f"{document.title}\n{document.text[chunk.start : chunk.end]}".strip())
        dense = vectors @ embed(http, texts, "document").T
        for (k1, b), name in product(BM25, FUSIONS):
            if name == "dense" and (k1, b) != BM25[0]:
                continue
            sparse = bm25(texts, questions, k1, b) if name != "dense" else dense
            gains, hits = [], []
            for row, key in enumerate(asked):
                order = np.argsort(-FUSIONS[name](dense[row], sparse[row]), kind="stable")[:100]
                ranking = first_of_each(owners, order.tolist())
                gains.append(ndcg(ranking, dataset.qrels[key], 10))
                hits.append(hit(ranking, dataset.qrels[key], 5))
            yield (
                *(str(value) for value in (size, overlap, k1, b, name)),
                f"{np.mean(gains):.3f}",
                f"{np.mean(hits):.3f}",
            )


def main(
    data: Annotated[Path, typer.Option(help="A BEIR folder.")],
    queries: Annotated[int, typer.Option(min=1, help="Judged queries to use.")] = 500,
    url: Annotated[str, typer.Option(help="The embedding service.")] = "http://127.0.0.1:8081",
) -> None:
    """Print nDCG@10 and hit@5 for every combination of settings."""
    columns = ("tokens", "overlap", "k1", "b", "fusion", "nDCG@10", "hit@5")
    table = Table(*columns, title=data.name)
    with service(url) as http:
        for row in sweep(http, load(data), queries):
            table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
