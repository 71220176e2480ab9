"""Tries a backup: restores it into an empty place and asks there for what was in it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from qdrant_client import models
from sqlalchemy import URL

from backing_up import rows
from backing_up.archive import Backup, BackupError
from backing_up.restore import restore
from bulkhead.auth import Principal, Role
from bulkhead.errors import Unavailable
from retriever.clients.embedding import EmbeddingClient
from retriever.database import Database
from retriever.index.collection import Stamp
from retriever.index.connect import Connection, connect
from retriever.index.documents import Documents
from retriever.index.index import Index
from retriever.index.model import Mode
from retriever.index.reaching import reaching
from retriever.index.sparse import BM25
from retriever.index.vectors import Legs, Vectors

_QUOTES, _CANARIES = 200, 20
_WITHIN = 10
_MOST_MISSED = 0.1
_FUSION = models.FusionQuery(fusion=models.Fusion.DBSF)


@dataclass(frozen=True)
class Verified:
    """What was asked of a backup, and held."""

    documents: int
    points: int
    quotes: int
    canaries: int
    by_meaning: bool
    """Whether the canaries were looked for by vectors too."""
    revoked: int


async def verify(
    backup: Backup, url: URL, folder: Path, embedding: EmbeddingClient | None = None
) -> Verified:
    """Restore into the database at `url` and into `folder`, both empty, and ask.

    `embedding` is a service with the backup's model, where there is one. Raises `BackupError`.
    """
    client = connect(None, folder / "qdrant")
    database = Database(url)
    try:
        vectors = Vectors(client, "verify")
        written = await restore(backup, url, client, vectors, "verify")
        with rows.connected(url) as connection:
            tenants = _check_counts(backup, connection)
            _check_keys(backup, connection)
            live = _tenants(connection)
        index = Index(Documents(database), vectors)
        quotes = await _points(client, _QUOTES)
        await _check_quotes(index, live, quotes)
        canaries = [one for one in quotes if str(one["text"]).strip()][:_CANARIES]
        if stamp := backup.stamp:
            asked = [(live[str(one["document_id"])], str(one["text"])) for one in canaries]
            await _ask(index, stamp, asked, embedding)
    finally:
        await client.close()
        await database.close()
    return Verified(
        documents=sum(one["documents"] for one in tenants.values()),
        points=written,
        quotes=len(quotes),
        canaries=len(canaries),
        by_meaning=embedding is not None,
        revoked=len(backup.manifest["revoked"]),
    )


def _check_counts(
    backup: Backup, connection: psycopg.Connection[Any]
) -> Mapping[str, Mapping[str, int]]:
    found = rows.found(connection)
    if found.tenants != backup.manifest["tenants"]:
        raise BackupError(f"there are {found.tenants}, and were {backup.manifest['tenants']}")
    return found.tenants


def _check_keys(backup: Backup, connection: psycopg.Connection[Any]) -> None:
    if rows.found(connection).revoked != backup.manifest["revoked"]:
        raise BackupError("a key that was revoked would be let in again")


async def _points(client: Connection, wanted: int) -> list[dict[str, Any]]:
    """What some points say, drawn by chance."""
    with reaching():
        if not await client.reads.collection_exists("verify"):
            return []
        found = await client.reads.query_points(
            "verify",
            query=models.SampleQuery(sample=models.Sample.RANDOM),
            limit=wanted,
        )
    return [dict(one.payload or {}) for one in found.points]


async def _check_quotes(
    index: Index, live: Mapping[str, str], quotes: Sequence[Mapping[str, Any]]
) -> None:
    for quote in quotes:
        document = str(quote["document_id"])
        text = await index.text(_asker(live[document]), document)
        if text is None or text[quote["start"] : quote["end"]] != quote["text"]:
            raise BackupError(f"a quote of the document {document} is another")


def _asker(tenant: str) -> Principal:
    return Principal("verify", tenant, frozenset(), Role.ADMIN)


def _tenants(connection: psycopg.Connection[Any]) -> dict[str, str]:
    found = connection.execute("SELECT id, tenant FROM documents WHERE state = 'live'")
    return dict(found.fetchall())


async def _ask(
    index: Index,
    stamp: Stamp,
    canaries: Sequence[tuple[str, str]],
    embedding: EmbeddingClient | None,
) -> None:
    """Raise `BackupError` unless chunks are found by their own text: by its words, and by meaning.

    `canaries` are tenants and texts. A few may be hidden behind others that say the same.
    """
    bm25 = _bm25(stamp)
    missed: Counter[Mode] = Counter()
    for tenant, text in canaries:
        words = bm25.query(text)
        asked = [Legs(Mode.SPARSE, None, words, _WITHIN, _FUSION)] if words.indices else []
        if embedding:
            vector = await embedding.aembed_query(text)
            asked.append(Legs(Mode.DENSE, vector, words, _WITHIN, _FUSION))
        for legs in asked:
            hits = await index.search(_asker(tenant), legs, _WITHIN)
            missed[legs.mode] += text not in {hit.text for hit in hits}
    for mode, count in missed.items():
        if count > len(canaries) * _MOST_MISSED:
            raise BackupError(
                f"{count} of {len(canaries)} chunks are not found by their own text ({mode})"
            )


def _bm25(stamp: Stamp) -> BM25:
    """As the chunks' words were weighed."""
    told = re.fullmatch(r"bm25 (\w+) k1=([\d.]+) b=([\d.]+) average=([\d.]+)", stamp.sparse)
    if told is None:
        raise BackupError(f"words were weighed in a way that this release does not know: {stamp}")
    return BM25(told[1], float(told[2]), float(told[3]), float(told[4]))


async def fitting(embedding: EmbeddingClient, stamp: Stamp | None) -> bool:
    """Whether the embedding service is there, with the model that chunks were embedded with."""
    try:
        model = await embedding.model()
    except Unavailable:
        return False
    if stamp is None:
        return False
    said = (model.id, embedding.revision(), model.dimension)
    return said == (stamp.model, stamp.revision, stamp.dimension)
