"""The sum of a GPU's memory: weights, cache of the context, what else lives there."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

GB = 10**9
_OVERHEAD = 2 * GB  # activations, CUDA graphs and the CUDA context of vLLM
_EMBEDDING = 1.5 * GB  # MiniLM with large batches, and a CUDA context of its own
_USUAL_TOKENS = 2000  # a question with its sources and its answer


@dataclass(frozen=True)
class Shape:
    """A decoder's dimensions; everything in its memory follows from them. Two bytes a number."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    tied: bool

    @property
    def weights(self) -> int:
        """Bytes of the weights of a dense decoder with gated feed-forward layers."""
        attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.kv_heads)
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return 2 * (self.layers * (attention + 3 * self.hidden * self.inner) + embeddings)

    @property
    def token(self) -> int:
        """Bytes that a token of context holds: its key and its value in every layer."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_size


QWEN3_4B = Shape(36, 2560, 9728, 32, 8, 128, 151936, tied=True)
KNOWN = {"Qwen/Qwen3-4B-Instruct-2507": QWEN3_4B}


def shape_of(config: Path) -> Shape:
    """The shape in a model's `config.json`. Raises `OSError`, or `ValueError` for another kind."""
    told = json.loads(config.read_text(encoding="utf-8"))
    try:
        heads, hidden = int(told["num_attention_heads"]), int(told["hidden_size"])
        return Shape(
            layers=int(told["num_hidden_layers"]),
            hidden=hidden,
            inner=int(told["intermediate_size"]),
            heads=heads,
            kv_heads=int(told.get("num_key_value_heads") or heads),
            head_size=int(told.get("head_dim") or hidden // heads),
            vocabulary=int(told["vocab_size"]),
            tied=bool(told.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{config.name} is not that of a plain decoder: {error}") from error


@dataclass(frozen=True)
class Budget:
    """How a model fits a card, under vLLM's settings."""

    shape: Shape
    card: int
    """Bytes of memory of the GPU."""
    share: float
    """`gpu-memory-utilization`."""
    context: int
    """`max-model-len`."""
    beside: bool
    """Whether the embedding service is on the same card."""

    @property
    def cache(self) -> int:
        """Bytes left for the cache; below zero when not even the weights fit."""
        return int(self.card * self.share) - self.shape.weights - _OVERHEAD

    @property
    def tokens(self) -> int:
        """Tokens that the cache holds."""
        return max(0, self.cache) // self.shape.token

    @property
    def fits(self) -> bool:
        """Whether one request of full length can be answered, and both services fit the card."""
        return self.tokens >= self.context and self.rest >= (_EMBEDDING if self.beside else 0)

    @property
    def rest(self) -> int:
        """Bytes that vLLM leaves to others."""
        return int(self.card * (1 - self.share))

    def words(self) -> str:
        """The whole sum in a line."""
        return (
            f"{self.card / GB:.0f} GB x {self.share} = {self.card * self.share / GB:.1f} for vLLM:"
            f" weights {self.shape.weights / GB:.1f}, overhead {_OVERHEAD / GB:.0f},"
            f" cache {max(0, self.cache) / GB:.1f} GB at {self.shape.token / 1000:.0f} kB a token ="
            f" {self.tokens:,} tokens: {self.tokens // self.context} requests of {self.context:,}"
            f" or {self.tokens // _USUAL_TOKENS} of {_USUAL_TOKENS:,}"
        )

    def mend(self) -> str:
        """What to change where it does not fit."""
        if self.tokens and self.tokens < self.context:
            return (
                f"set max-model-len in services/llm/vllm/gpu.yaml to {self.tokens // 1024 * 1024}"
            )
        if self.beside and self.rest < _EMBEDDING:
            return "lower gpu-memory-utilization in services/llm/vllm/gpu.yaml, or use profile gpu"
        return "choose a smaller model (LLM_MODEL, LLM_REVISION) or a larger card (GPU_DEVICE)"


def vllm_setting(settings: Path, key: str) -> str:
    """One value of a vLLM settings file, which is flat. Raises `ValueError` without it."""
    found = re.search(
        rf"^{re.escape(key)}:\s*(\S+)", settings.read_text(encoding="utf-8"), re.MULTILINE
    )
    if found is None:
        raise ValueError(f"{settings.name} does not set {key}")
    return found[1]
