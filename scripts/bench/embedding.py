"""How the embedding model is best run on this machine: precision, runtime, size of a batch.

Every round measures all variants one after another, and what is printed are medians of the
rounds' ratios: a neighbour that takes half the machine takes it from all of them. CPU seconds are
what the thread had of the processor, which a neighbour changes least: the service computes each
batch by one thread, and so does this. The same model in ONNX is
measured beside them where `--onnx` names its file and `onnxruntime` is installed; the stack needs
neither. With a collection in the BEIR layout each variant's nDCG@10 is measured too, dense search
alone over texts cut to fit, and that of an index in one precision asked in another.

With `--device cuda` each batch and precision is measured against `SentenceTransformer.encode` in
the same, and the model alone against what the device does in a large multiplication and a copy.

    python -m bench.embedding [--data ../shared/data/cranfield] [--onnx FILE]
    python -m bench.embedding --device cuda
"""

import argparse
import asyncio
import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from embedding.backend import SentenceTransformerBackend, Vectors
from embedding.engine import Engine
from embedding.settings import EmbeddingSettings, bundled_model
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


def torch_encode(dtype: str, device: str = "cpu") -> tuple[SentenceTransformerBackend, Encode]:
    """The service's own backend in a precision."""
    settings = EmbeddingSettings.model_validate({"dtype": dtype, "device": device})
    backend = SentenceTransformerBackend(settings)
    return backend, lambda texts: backend.encode(backend.tokenize(texts, "document"), "document")


def onnx_encode(path: Path, tokenizer_json: str, max_tokens: int) -> Encode:
    """The model from an ONNX file with BERT's three inputs, its vectors the means over tokens."""
    onnxruntime: Any = importlib.import_module("onnxruntime")  # untyped, and not always there
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
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
    indexes: dict[str, tuple[Vectors, Vectors]] = {}
    for name, encode in variants.items():
        documents = np.concatenate([encode(texts[n : n + 8]) for n in range(0, len(texts), 8)])
        queries = np.concatenate([encode([dataset.queries[id_].text]) for id_ in dataset.qrels])
        indexes[name] = queries, documents
        indexes.setdefault(f"{BASE}, asked in {name.split()[-1]}", (queries, indexes[BASE][1]))
    del indexes[f"{BASE}, asked in {BASE.split()[-1]}"]
    scores: dict[str, list[float]] = {}
    for name, (queries, documents) in indexes.items():
        best = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :10]
        scores[name] = [
            ndcg([ids[place] for place in row], grades, 10)
            for row, grades in zip(best, dataset.qrels.values(), strict=True)
        ]
    print(f"\n{'nDCG@10, ' + dataset.name:<34}{'mean':>7}   lost, with its 95% interval")
    for name, values in scores.items():
        lost = estimate(np.subtract(scores[BASE], values).tolist())
        interval = f"{lost.value:.4f} ({lost.low:.4f} to {lost.high:.4f})"
        print(f"{name:<34}{np.mean(values):>7.4f}   {interval}")


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


def on_device(device: str, rounds: int) -> None:
    """Throughput by precision and batch, and its share of what the device can do at most."""
    import torch
    from sentence_transformers import SentenceTransformer

    texts = passages(torch_encode("float32", device)[0], 512) * 8
    for dtype in ("float32", "float16", "bfloat16"):
        precision = getattr(torch, dtype)
        flops, bandwidth = limits(device, dtype, rounds)
        backend, encode = torch_encode(dtype, device)
        plain = SentenceTransformer(
            bundled_model(), device=device, model_kwargs={"dtype": precision}
        )
        layers = [layer for layer in plain.modules() if isinstance(layer, torch.nn.Linear)]
        numbers = sum(layer.weight.numel() for layer in layers)
        print(f"\n{dtype}: {flops / 1e12:.1f} TFLOP/s multiplied, ", end="")
        print(f"{bandwidth / 1e9:,.0f} GB/s copied, texts of {TOKENS + 2} tokens")
        print(f"{'batch':<8}{'encode/s':>12}{'ours/s':>12}{'ratio':>10}", end="")
        print(f"{'model/s':>12}{'of FLOP/s':>12}{'of GB/s':>10}")
        for batch in (1, 8, 32, 128, 512, 2048):
            part = texts[: max(batch, min(len(texts), 16 * batch))]
            library = _rate(lambda: plain.encode(part, batch_size=batch), len(part), rounds)  # noqa: B023
            ours = _rate(lambda: seconds(encode, part, batch), len(part), rounds)  # noqa: B023
            # B023 above and below: each of them is called before the loop goes on.
            read = backend.tokenize(part[:batch], "document")
            alone = _rate(lambda: backend.encode(read, "document"), len(read), rounds)  # noqa: B023
            busy = alone * 2 * numbers * (TOKENS + 2) / flops
            moved = alone / len(read) * numbers * precision.itemsize / bandwidth
            print(f"{batch:<8}{library:>12,.0f}{ours:>12,.0f}{ours / library:>9.2f}x", end="")
            print(f"{alone:>12,.0f}{busy:>12.1%}{moved:>10.1%}")
    asyncio.run(through_engine(backend, texts, rounds))


async def through_engine(
    backend: SentenceTransformerBackend, texts: list[str], rounds: int
) -> None:
    """Throughput of 32 callers of 128 texts each, tokenized and batched by the engine."""
    print(f"\n{'batch tokens':<16}{'texts/s':>12}   through the engine")
    for budget in (4096, 16384, 65536, 262144):
        engine = Engine(backend, batch_tokens=budget, queue_texts=10_000, cache_texts=0)
        await engine.start()
        taken = []
        for _ in range(rounds + 1):
            started = time.perf_counter()
            calls = (texts[first : first + 128] for first in range(0, len(texts), 128))
            await asyncio.gather(*(engine.embed(call, "document") for call in calls))
            taken.append(time.perf_counter() - started)
        await engine.stop()
        print(f"{budget:<16}{len(texts) / min(taken):>12,.0f}")


def limits(device: str, dtype: str, rounds: int) -> tuple[float, float]:
    """Operations a second in a large multiplication, and bytes a second read and written."""
    import torch

    size = 8192
    left = torch.randn(size, size, device=device, dtype=getattr(torch, dtype))
    right, copy = left.clone(), torch.empty_like(left)

    def multiply() -> None:
        torch.matmul(left, right)
        torch.accelerator.synchronize()

    def move() -> None:
        for _ in range(20):
            copy.copy_(left)
        torch.accelerator.synchronize()

    moved = 20 * 2 * left.numel() * left.element_size()
    return 2 * size**3 / _best(multiply, rounds), moved / _best(move, rounds)


def _rate(work: Callable[[], object], count: int, rounds: int) -> float:
    return count / _best(work, rounds)


def _best(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):  # the first one warms up
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--data", type=Path, help="A collection to measure nDCG@10 on.")
    arguments.add_argument("--onnx", type=Path, help="The same model as ONNX.")
    arguments.add_argument("--device", default="cpu")
    options = arguments.parse_args()
    if options.device != "cpu":
        on_device(options.device, options.rounds)
        return
    backend, float32 = torch_encode("float32")
    variants: dict[str, Encode] = {BASE: float32}
    variants["torch bfloat16"] = torch_encode("bfloat16")[1]
    if options.onnx is not None:
        variants["onnx"] = onnx_encode(options.onnx, backend.tokenizer_json, backend.max_tokens)
    texts = passages(backend, 56)
    compare(variants, texts, options.rounds)
    if options.data is not None:
        quality(variants, options.data)
    budgets(float32, texts, options.rounds)


if __name__ == "__main__":
    main()
