"""The points of Qdrant, one by one: the same for a server, a cluster of any number of nodes, and
the embedded one, whose folder is read beside the process that has it open.

The order of things makes this whole, not a snapshot: see `retriever.state.holds`.
"""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from gzip import GzipFile
from pathlib import Path
from typing import Any, cast

import numpy as np
from qdrant_client import models
from qdrant_client.local.persistence import CollectionPersistence

from backing_up.archive import BackupError
from retriever.index.collection import Stamp
from retriever.index.connect import Connection
from retriever.index.points import DENSE, SPARSE
from retriever.index.reaching import reaching

_PAGE = 256


async def of_server(
    client: Connection, collection: str, *, vectors: bool = True, fields: bool | list[str] = True
) -> AsyncIterator[models.PointStruct]:
    """All points of a collection; one that is written or removed meanwhile may be missing.

    Without `vectors` it has none; `fields` are those of the payload that it has.
    """
    offset: Any = None
    while True:
        with reaching():
            records, offset = await client.writes.scroll(
                collection, limit=_PAGE, offset=offset, with_payload=fields, with_vectors=vectors
            )
        for one in records:
            made = cast(models.VectorStruct, one.vector or {})
            yield models.PointStruct(id=one.id, vector=made, payload=one.payload)
        if offset is None:
            return


def of_folder(folder: Path, collection: str) -> Iterator[models.PointStruct]:
    """The same of embedded Qdrant, as it is at one moment, whether or not a retriever has it open.

    Its store is SQLite with a write-ahead log, which others may read meanwhile.
    """
    store = CollectionPersistence(str(folder / "collection" / collection))
    try:
        yield from store.load()
    finally:
        store.close()


async def stamp_of_server(client: Connection, collection: str) -> Stamp | None:
    """What the collection was written with; none where there is no collection."""
    with reaching():
        if not await client.reads.collection_exists(collection):
            return None
        config = (await client.reads.get_collection(collection)).config
    return Stamp(**(config.metadata or {}))


def stamp_of_folder(folder: Path, collection: str) -> Stamp | None:
    """The same of embedded Qdrant."""
    try:
        told = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    made = told["collections"].get(collection)
    return Stamp(**made["metadata"]) if made else None


def write(file: GzipFile, point: models.PointStruct) -> None:
    """A point as a line of JSON, its dense vector as the 32-bit numbers that Qdrant keeps."""
    vectors = cast(dict[str, Any], point.vector)
    sparse = vectors[SPARSE]
    dense = np.asarray(vectors[DENSE], dtype="<f4").tobytes()
    told = {
        "id": point.id,
        "dense": base64.b64encode(dense).decode(),
        "sparse": [list(map(int, sparse.indices)), list(map(float, sparse.values))],
        "payload": point.payload,
    }
    file.write(json.dumps(told).encode() + b"\n")


def read(file: GzipFile) -> Iterator[models.PointStruct]:
    """The points that `write` wrote."""
    for line in file:
        told = json.loads(line)
        indices, values = told["sparse"]
        dense = np.frombuffer(base64.b64decode(told["dense"]), dtype="<f4")
        yield models.PointStruct(
            id=told["id"],
            vector={
                DENSE: dense.tolist(),
                SPARSE: models.SparseVector(indices=indices, values=values),
            },
            payload=told["payload"],
        )


async def check_empty(client: Connection, collection: str) -> None:
    """Raise `BackupError` where the collection is there."""
    with reaching():
        if await client.reads.collection_exists(collection):
            raise BackupError(f"Qdrant has a collection {collection!r} already: it is not empty")
