"""What a bulk run can be told beside its command line, by environment variables named `BULK_…`."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from bulkhead.settings import CommonSettings


class BulkSettings(CommonSettings):
    """How a run is spread. Where the index is, and how texts are cut, the retriever's settings say.

    These, and those of `EMBEDDING_…`, are read where the run is started and hold on every node.
    """

    model_config = SettingsConfigDict(env_prefix="BULK_", extra="ignore")

    ray_address: str = Field(
        "",
        description="A Ray cluster to run on, `host:6379`, or `auto` on a node of one; empty: a "
        "Ray of its own on this machine, which ends with the run.",
    )
    object_store_mib: int = Field(
        256,
        ge=80,
        description="Memory of a Ray of its own for what lies between the steps, in MiB.",
    )
    embedding: Literal["service", "actors"] = Field(
        "service",
        description="Who embeds: the service at `RETRIEVER_EMBEDDING_URL`, or Ray actors that "
        "have the model themselves, which `EMBEDDING_…` names.",
    )
    embedders: int = Field(
        1,
        ge=1,
        le=4096,
        description="Groups of documents that are embedded at once; with `actors` so many models.",
    )
    embedder_gpus: float = Field(
        0.0, ge=0, le=8, description="GPUs of each model, or a part of one, with `actors`."
    )
    preparers: int = Field(
        1, ge=1, le=4096, description="Actors that parse and cut texts, a process each."
    )
    publishers: int = Field(
        1, ge=1, le=4096, description="Actors that write to Qdrant and publish in PostgreSQL."
    )
    group_documents: int = Field(
        128,
        ge=1,
        le=1000,
        description="Most documents that are published in one transaction.",
    )
    group_bytes: int = Field(
        2 * 2**20,
        ge=2**16,
        description="Most bytes of them as they are read; a larger document is one by itself.",
    )
    failed_file: Path = Field(
        Path(".data/bulk-failed.jsonl"),
        description="Where the documents are named that failed, as JSON Lines, where `--failed` "
        "names no other file.",
    )
