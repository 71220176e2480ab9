"""The collection in Qdrant: how it is made, and whether one that is there is ours to use."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qdrant_client import models

from retriever.index import corpus
from retriever.index.filters import Kind
from retriever.index.points import DENSE, LAYOUT, SPARSE

_KEYWORD = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD)
_PAYLOAD_INDEXES: dict[str, models.PayloadSchemaParams] = {
    "tenant": _KEYWORD.model_copy(update={"is_tenant": True}),
    "groups": _KEYWORD,
    "document_id": _KEYWORD,
    "source": _KEYWORD,
    corpus.FIELD: _KEYWORD,
}
_OF_KIND: dict[Kind, models.PayloadSchemaParams] = {
    Kind.KEYWORD: _KEYWORD,
    # Of integers alone it would hold no 1.5, and then find none.
    Kind.NUMBER: models.FloatIndexParams(type=models.FloatIndexType.FLOAT),
    Kind.DATETIME: models.DatetimeIndexParams(type=models.DatetimeIndexType.DATETIME),
    Kind.BOOL: models.BoolIndexParams(type=models.BoolIndexType.BOOL),
}
_METADATA = "metadata."
_OLDEST_SERVER = (1, 19)
"""The first that counts a word's frequency in what the caller may see, and not in all there is."""


class IndexMismatchError(Exception):
    """The index is not ours to use.

    Its server is too old, or it was written with another model or layout: mixing them would be
    silent rot.
    """


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a collection was written with. Everything here must match to read or write it."""

    model: str
    revision: str
    dimension: int
    sparse: str
    layout: int = LAYOUT

    def check(self, collection: str, found: Mapping[str, Any]) -> None:
        """Raise `IndexMismatchError` unless `found` is the metadata of a collection of ours."""
        wanted = self.metadata()
        differing = [key for key in wanted if found.get(key) != wanted[key]]
        if differing:
            by = "by another release" if differing == ["layout"] else "with other settings"
            details = ", ".join(
                f"{key} {found.get(key)!r}, now {wanted[key]!r}" for key in differing
            )
            raise IndexMismatchError(
                f"the collection {collection!r} was written {by} ({details}); "
                "scripts/reindex.py writes another collection as it is told now; or set "
                "RETRIEVER_COLLECTION to another name and ingest the documents again, or go back "
                "to what it was written with"
            )

    def metadata(self) -> dict[str, Any]:
        """As the collection's metadata in Qdrant."""
        return {
            "model": self.model,
            "revision": self.revision,
            "dimension": self.dimension,
            "sparse": self.sparse,
            "layout": self.layout,
        }


@dataclass(frozen=True, slots=True)
class Storage:
    """How a Qdrant server keeps a new collection. One that is there keeps its own."""

    shard_number: int | None = None
    """None: as many as the cluster has nodes."""
    replication_factor: int = 1
    write_consistency_factor: int = 1
    vectors_on_disk: bool = False
    payload_on_disk: bool = True
    quantization: Literal["none", "scalar", "binary"] = "none"
    oversampling: float = 1.0

    def quantized(self) -> models.QuantizationConfig | None:
        """The smaller copy of the dense vectors: in memory, wherever the vectors are."""
        match self.quantization:
            case "scalar":
                scalar = models.ScalarQuantizationConfig(
                    type=models.ScalarType.INT8, quantile=0.99, always_ram=True
                )
                return models.ScalarQuantization(scalar=scalar)
            case "binary":
                return models.BinaryQuantization(
                    binary=models.BinaryQuantizationConfig(always_ram=True)
                )
        return None

    def parameters(self, stamp: Stamp) -> dict[str, Any]:
        """What Qdrant is asked to make."""
        dense = models.VectorParams(
            size=stamp.dimension,
            distance=models.Distance.COSINE,
            on_disk=self.vectors_on_disk,
        )
        return {
            "vectors_config": {DENSE: dense},
            "sparse_vectors_config": {
                SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)
            },
            "shard_number": self.shard_number,
            "replication_factor": self.replication_factor,
            "write_consistency_factor": self.write_consistency_factor,
            "on_disk_payload": self.payload_on_disk,
            "quantization_config": self.quantized(),
            "metadata": stamp.metadata(),
        }

    def differing(self, found: models.CollectionConfig) -> str:
        """In words, what a collection has otherwise; empty where nothing is."""
        params = found.params
        dense = params.vectors[DENSE] if isinstance(params.vectors, dict) else None
        kind = found.quantization_config
        pairs = {
            "shards": (params.shard_number, self.shard_number or params.shard_number),
            "replication factor": (params.replication_factor or 1, self.replication_factor),
            "write consistency factor": (
                params.write_consistency_factor or 1,
                self.write_consistency_factor,
            ),
            "vectors on disk": (bool(dense and dense.on_disk), self.vectors_on_disk),
            "payload on disk": (bool(params.on_disk_payload), self.payload_on_disk),
            "quantization": (
                next(iter(kind.model_fields_set)) if kind else "none",
                self.quantization,
            ),
        }
        return ", ".join(
            f"{what} {has}, now {set_}" for what, (has, set_) in pairs.items() if has != set_
        )


def check_version(version: str) -> None:
    """Raise `IndexMismatchError` for a Qdrant server that is too old, or of none that is known."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) < _OLDEST_SERVER:
        oldest = ".".join(map(str, _OLDEST_SERVER))
        raise IndexMismatchError(
            f"the Qdrant server is {version or 'of an unknown version'}, and {oldest} is the "
            "oldest that can be used: in an older one a score tells of other tenants' words"
        )


def payload_indexes(kinds: Mapping[str, Kind]) -> dict[str, models.PayloadSchemaParams]:
    """The payload fields that have an index, with its parameters: ours, and metadata of `kinds`."""
    return _PAYLOAD_INDEXES | {_METADATA + key: _OF_KIND[kind] for key, kind in kinds.items()}


def index_changes(
    there: Mapping[str, models.PayloadIndexInfo], wanted: Mapping[str, models.PayloadSchemaParams]
) -> tuple[list[str], dict[str, models.PayloadSchemaParams]]:
    """Fields whose index, of earlier settings, has to go; and those that then get one."""
    kinds = {field: info.data_type for field, info in there.items()}
    types = {field: models.PayloadSchemaType(params.type.value) for field, params in wanted.items()}
    former = [
        field
        for field, kind in kinds.items()
        if field.startswith(_METADATA) and types.get(field) != kind
    ]
    missing = {
        field: params for field, params in wanted.items() if kinds.get(field) != types[field]
    }
    return former, missing
