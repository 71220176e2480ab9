"""What computes: a model behind the few calls that the engine needs."""

import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from embedding.settings import EmbeddingSettings

Kind = Literal["query", "document"]
Vectors = npt.NDArray[np.float32]


class Backend(Protocol):
    """A model. `encode` and `rerank` are called from one thread, never from two."""

    model_id: str
    revision: str
    dimension: int
    max_tokens: int
    tokenizer_json: str

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included, before any cut."""
        ...

    def encode(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Unit vectors, float32, of shape (texts, dimension)."""
        ...

    def rerank(self, query: str, documents: Sequence[str]) -> list[float] | None:
        """Relevance of each document; none when there is no reranking model."""
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

        torch.set_num_threads(settings.threads or cores())
        self._model = SentenceTransformer(
            settings.model,
            revision=settings.revision,
            device=settings.device,
            model_kwargs={"dtype": getattr(torch, settings.dtype)},
        ).eval()
        self._reranker = (
            CrossEncoder(settings.reranker, device=settings.device) if settings.reranker else None
        )
        tokenizer = self._model.tokenizer.backend_tokenizer
        # A copy that counts: as files have it, MiniLM's cuts and pads every text to 128 tokens.
        self._tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.tokenizer_json: str = self._tokenizer.to_str()
        self.model_id = settings.model_id
        dimension, longest = (
            self._model.get_embedding_dimension(),
            self._model.max_seq_length,
        )
        if dimension is None or longest is None:
            raise ValueError(f"{settings.model_id} does not say its dimension or its length")
        self.dimension, self.max_tokens = dimension, longest
        self.revision = _revision(Path(settings.model)) if local else settings.revision or "main"

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included, before any cut."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def encode(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Unit vectors, float32, of shape (texts, dimension)."""
        encode = self._model.encode_query if kind == "query" else self._model.encode_document
        vectors = encode(
            list(texts),
            batch_size=len(texts),
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        exact = np.asarray(vectors, dtype=np.float32)
        # Not by the model, which in bfloat16 leaves a length up to 0.4 % off.
        unit: Vectors = exact / np.linalg.norm(exact, axis=1, keepdims=True)
        return unit

    def rerank(self, query: str, documents: Sequence[str]) -> list[float] | None:
        """Relevance of each document; none when there is no reranking model."""
        if self._reranker is None:
            return None
        scores = self._reranker.predict(
            [(query, document) for document in documents], show_progress_bar=False
        )
        return [float(score) for score in scores]


class DummyBackend:
    """Vectors from the hashes of a text's words, so that texts with the same words are near.

    The whole API without weights, for tests.
    """

    model_id = "dummy"
    revision = "1"
    dimension = 64
    max_tokens = 256

    def __init__(self, tokenizer_json: str = "{}") -> None:
        self.tokenizer_json = tokenizer_json

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words of each text, and two."""
        return [len(text.split()) + 2 for text in texts]

    def encode(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """A unit vector a text, the same for the same text."""
        sums = np.array([sum(map(_hashed, ["", *text.split()])) for text in texts])
        unit: Vectors = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def rerank(self, query: str, documents: Sequence[str]) -> list[float] | None:
        """Shared words, counted."""
        wanted = set(query.lower().split())
        return [float(len(wanted & set(document.lower().split()))) for document in documents]


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


def _revision(folder: Path) -> str:
    """A hash of the weights, so that an index knows when they changed under the same name."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
