"""What quantization costs a search, on a judged collection, computed as a Qdrant server would.

Embedded Qdrant ignores quantization, so this is reckoned in memory: the small copy chooses
`oversampling` times the candidates wanted, and the whole vectors order them. Scalar: 7 bits a
number between the vectors' 0.5th and 99.5th percentile; binary: the sign, of the question too.

    python -m evaluation.sweep_quantization --data ../shared/data/cranfield
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from evaluation.beir import load
from evaluation.metrics import ndcg
from evaluation.sweep_retrieval import PREFETCH, Scores, bm25, embed, first_of_each, service
from retriever.ingest.chunk import Chunker

Quantize = Callable[[Scores, Scores], Scores]
"""Vectors of the chunks and of the questions to scores of shape (questions, chunks)."""
OVERSAMPLING = (0, 1, 2, 3, 5)
"""0: without the whole vectors, whatever the copy says."""
TOP = 10


def scalar(chunks: Scores, questions: Scores) -> Scores:
    """Of one byte a number, as Qdrant's `int8` with a quantile of 0.99."""
    low, high = np.quantile(chunks, (0.005, 0.995))

    def small(vectors: Scores) -> Scores:
        numbers: Scores = np.round((np.clip(vectors, low, high) - low) / (high - low) * 127)
        return numbers

    # Dot products of what the bytes stand for: low + step * byte.
    step = (high - low) / 127
    whole: Scores = (low + step * small(questions)) @ (low + step * small(chunks)).T
    return whole


def binary(chunks: Scores, questions: Scores) -> Scores:
    """Of one bit a number: how many signs are the same."""
    agreeing: Scores = np.sign(questions) @ np.sign(chunks).T
    return agreeing


def candidates(exact: Scores, small: Scores, wanted: int, oversampling: int) -> Scores:
    """A question's scores as a server gives them: of `wanted` chunks, and minus infinity else."""
    if not oversampling:
        exact, oversampling = small, 1
    chosen = np.argsort(-small, kind="stable")[: wanted * oversampling]
    best = chosen[np.argsort(-exact[chosen], kind="stable")[:wanted]]
    scores = np.full(len(exact), -np.inf)
    scores[best] = exact[best]
    return scores


def hybrid(dense: Scores, sparse: Scores) -> Scores:
    """The two legs fused by Qdrant's DBSF; what a leg did not bring has nothing of it."""
    fused = np.zeros(len(dense))
    best = np.argsort(-sparse, kind="stable")[:PREFETCH]
    for leg, rows in ((dense, np.flatnonzero(np.isfinite(dense))), (sparse, best)):
        mean, deviation = leg[rows].mean(), leg[rows].std(ddof=1) or 1.0
        fused[rows] += (leg[rows] - (mean - 3 * deviation)) / (6 * deviation)
    return fused


def sweep(data: Path, queries: int, url: str) -> Iterable[tuple[str, ...]]:
    """A row for each way: its name, oversampling, nDCG@10 dense and hybrid, recall of the exact."""
    dataset = load(data)
    with service(url) as http:
        tokenizer = Tokenizer.from_str(http.get("/v1/tokenizer").raise_for_status().text)
        asked = [key for key in dataset.queries if dataset.qrels.get(key)][:queries]
        words = [dataset.queries[key].text for key in asked]
        chunker, owners, texts = Chunker(tokenizer, 240, 80), [], []
        for document in dataset.corpus.values():
            for chunk in chunker.split(document.text, markdown=False):
                owners.append(document.id)
                texts.append(f"{document.title}\n{document.text[chunk.start : chunk.end]}".strip())
        questions, chunks = embed(http, words, "query"), embed(http, texts, "document")
    exact, sparse = questions @ chunks.T, bm25(texts, words, 0.9, 0.4)
    ways: dict[str, tuple[Scores, tuple[int, ...]]] = {
        "whole vectors": (exact, (1,)),
        "scalar": (scalar(chunks, questions), OVERSAMPLING),
        "binary": (binary(chunks, questions), OVERSAMPLING),
    }
    for name, (small, samples) in ways.items():
        for oversampling in samples:
            gains: list[list[float]] = []
            for row, key in enumerate(asked):
                grades = dataset.qrels[key]
                few = candidates(exact[row], small[row], TOP, oversampling)
                many = candidates(exact[row], small[row], PREFETCH, oversampling)
                wanted = set(np.argsort(-exact[row], kind="stable")[:TOP].tolist())
                rankings = [
                    first_of_each(owners, np.argsort(-scores, kind="stable")[:length].tolist())
                    for scores, length in ((few, TOP), (hybrid(many, sparse[row]), 100))
                ]
                found = set(np.flatnonzero(np.isfinite(few)).tolist())
                gains.append(
                    [ndcg(one, grades, 10) for one in rankings] + [len(wanted & found) / TOP]
                )
            yield name, str(oversampling or "none"), *(f"{x:.3f}" for x in np.mean(gains, axis=0))


def main(
    data: Annotated[Path, typer.Option(help="A BEIR folder.")],
    queries: Annotated[int, typer.Option(min=1, help="Judged queries to use.")] = 500,
    url: Annotated[str, typer.Option(help="The embedding service.")] = "http://127.0.0.1:8081",
) -> None:
    """Print nDCG@10 by meaning and of both legs, and how many of the exact ten were found."""
    columns = ("copy", "oversampling", "dense nDCG@10", "hybrid nDCG@10", "of the exact 10")
    table = Table(*columns, title=data.name)
    for row in sweep(data, queries, url):
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
