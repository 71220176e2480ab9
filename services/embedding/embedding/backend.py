"""What computes: a model behind the few calls that the engine needs."""

import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from embedding.queue import Pair, Work
from embedding.settings import EmbeddingSettings
from embedding.tokens import Kind, Reader, Tokens, counting

Vectors = npt.NDArray[np.float32]


class Backend(Protocol):
    """A model. Each method may be called from several threads at once."""

    model_id: str
    revision: str
    dimension: int
    max_tokens: int
    tokenizer_json: str
    reranks: bool
    """Whether there is a reranking model."""
    pads: frozenset[Work]
    """The work whose batches are padded to their longest item."""

    def tokenize(self, texts: Sequence[str], kind: Kind) -> list[Tokens]:
        """What the model reads of each text."""
        ...

    def count_pairs(self, pairs: Sequence[Pair]) -> list[int]:
        """Tokens that the reranking model reads of each pair."""
        ...

    def encode(self, texts: Sequence[Tokens], kind: Kind) -> Vectors:
        """Unit vectors, float32, of shape (texts, dimension), of texts tokenized as that kind."""
        ...

    def rerank(self, pairs: Sequence[Pair]) -> Vectors:
        """Relevance of each pair's document for its query, float32, of shape (pairs, 1)."""
        ...


class SentenceTransformerBackend:
    """sentence-transformers on torch."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        """Load the model. Raises `OSError` or `ValueError` when it is not there or not usable."""
        local = Path(settings.model).is_dir()
        if local:  # read by the libraries when they are imported
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from sentence_transformers import CrossEncoder, SentenceTransformer

        from embedding.rows import take_rows

        torch.set_num_threads(1)  # of one batch: the engine computes several at once
        # cuDNN's attention makes a plan for every new shape, and nearly every batch has one.
        torch.backends.cuda.enable_cudnn_sdp(False)
        precision = {"dtype": getattr(torch, settings.dtype or _best_dtype(settings.device))}
        self._model = SentenceTransformer(
            settings.model,
            revision=settings.revision,
            device=settings.device,
            model_kwargs=precision,
        ).eval()
        self._reranker = (
            CrossEncoder(settings.reranker, device=settings.device, model_kwargs=precision)
            if settings.reranker
            else None
        )
        if self._reranker is not None and self._reranker.num_labels != 1:
            raise ValueError(f"{settings.reranker} does not give one relevance a pair")
        self.reranks = self._reranker is not None
        self._readers: dict[Kind, Reader] = {
            "query": Reader(self._model, "query"),
            "document": Reader(self._model, "document"),
        }
        complete = all(reader.complete for reader in self._readers.values())
        self._first = take_rows(self._model, self._readers["document"]) if complete else None
        self.pads = frozenset[Work](
            ("pair",) if self._first is not None else ("query", "document", "pair")
        )
        if self._reranker is not None:
            self._pair_tokenizer = counting(self._reranker.tokenizer.backend_tokenizer)
        self.tokenizer_json: str = counting(self._model.tokenizer.backend_tokenizer).to_str()
        self.model_id = settings.model_id
        dimension, longest = (
            self._model.get_embedding_dimension(),
            self._model.max_seq_length,
        )
        if dimension is None or longest is None:
            raise ValueError(f"{settings.model_id} does not say its dimension or its length")
        self.dimension, self.max_tokens = dimension, longest
        self.revision = _revision(Path(settings.model)) if local else settings.revision or "main"

    def tokenize(self, texts: Sequence[str], kind: Kind) -> list[Tokens]:
        """What the model reads of each text."""
        return self._readers[kind].tokenize(texts)

    def count_pairs(self, pairs: Sequence[Pair]) -> list[int]:
        """Tokens that the reranking model reads of each pair."""
        assert self._reranker is not None
        longest = self._reranker.max_seq_length or self.max_tokens
        encodings = self._pair_tokenizer.encode_batch_fast(list(pairs))
        return [min(len(encoding), longest) for encoding in encodings]

    def encode(self, texts: Sequence[Tokens], kind: Kind) -> Vectors:
        """Unit vectors, float32, of shape (texts, dimension), of texts tokenized as that kind."""
        reader = self._readers[kind]
        if reader.complete:
            first = self._first
            features = reader.features(texts) if first is None else reader.row(texts, first)
            vectors = self._forward(features, kind)
        else:
            encode = self._model.encode_query if kind == "query" else self._model.encode_document
            vectors = encode(
                [one.text for one in texts],
                batch_size=len(texts),
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        exact = np.asarray(vectors, dtype=np.float32)
        # Not by the model, which in bfloat16 leaves a length up to 0.4 % off.
        unit: Vectors = exact / np.linalg.norm(exact, axis=1, keepdims=True)
        return unit

    def _forward(self, features: dict[str, Any], kind: Kind) -> Vectors:
        """What `SentenceTransformer.encode` does with features that it has made itself."""
        import torch

        with torch.inference_mode():
            on_device = _moved(features, self._model.device)
            read = self._model(on_device, task=kind)["sentence_embedding"]
        vectors: Vectors = read[:, : self.dimension].float().cpu().numpy()
        return vectors

    def rerank(self, pairs: Sequence[Pair]) -> Vectors:
        """Relevance of each pair's document for its query, float32, of shape (pairs, 1)."""
        assert self._reranker is not None
        scores = self._reranker.predict(
            list(pairs), batch_size=len(pairs), show_progress_bar=False, convert_to_numpy=True
        )
        return np.asarray(scores, dtype=np.float32)[:, None]


class DummyBackend:
    """Vectors from the hashes of a text's words, so that texts with the same words are near.

    The whole API without weights, for tests.
    """

    model_id = "dummy"
    revision = "1"
    dimension = 64
    max_tokens = 256
    reranks = True
    pads: frozenset[Work] = frozenset(("query", "document", "pair"))

    def __init__(self, tokenizer_json: str = "{}") -> None:
        self.tokenizer_json = tokenizer_json

    def tokenize(self, texts: Sequence[str], kind: Kind) -> list[Tokens]:
        """The words of each text, with one before and one after them."""
        return [_words(text) for text in texts]

    def count_pairs(self, pairs: Sequence[Pair]) -> list[int]:
        """Words of each pair, and three."""
        return [len(f"{query} {document}".split()) + 3 for query, document in pairs]

    def encode(self, texts: Sequence[Tokens], kind: Kind) -> Vectors:
        """A unit vector a text, the same for the same text."""
        sums = np.array([sum(map(_hashed, ["", *one.text.split()])) for one in texts])
        unit: Vectors = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def rerank(self, pairs: Sequence[Pair]) -> Vectors:
        """Shared words, counted."""
        shared = [
            len(set(query.lower().split()) & set(document.lower().split()))
            for query, document in pairs
        ]
        return np.array(shared, dtype=np.float32)[:, None]


def _words(text: str) -> Tokens:
    ids = [0, *(zlib.crc32(word.encode("utf-8", "replace")) for word in text.split()), 0]
    return Tokens(text, np.array(ids[: DummyBackend.max_tokens]), len(ids))


def _hashed(word: str) -> npt.NDArray[np.float64]:
    seed = zlib.crc32(word.lower().encode("utf-8", "replace"))
    return np.random.default_rng(seed).normal(size=DummyBackend.dimension)


def cores(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: by its affinity and, in a container, by its CPU quota.

    `limit` is cgroup v2's file, "QUOTA PERIOD" in microseconds or "max PERIOD".
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    at_hand = len(affinity(0)) if affinity else os.cpu_count() or 1
    if not limit.is_file():
        return at_hand
    quota, period = limit.read_text().split()
    return at_hand if quota == "max" else max(1, min(at_hand, int(quota) // int(period)))


def _best_dtype(device: str) -> str:
    """bfloat16 where it is computed natively, else float32 on a CPU and float16 on a GPU."""
    import torch

    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


def _moved(features: dict[str, Any], device: Any) -> dict[str, Any]:
    return {
        name: value.to(device, non_blocking=True) if hasattr(value, "shape") else value
        for name, value in features.items()
    }


def _revision(folder: Path) -> str:
    """A hash of the weights, so that an index knows when they changed under the same name."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
