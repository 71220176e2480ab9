"""Hybrid search by Haystack, served by FastAPI: what `bench.haystack` measures against.

It runs in an environment of its own, which that script describes.

    python -m bench.haystack_search PORT INDEX

INDEX is a JSON file: `model` (a folder), `bm25` (the arguments of `BM25`), `top_k` and `chunks`,
each with its `text` and the `source` that it is from.
"""

import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from haystack import Document, Pipeline, component
from haystack.dataclasses import SparseEmbedding
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)
from haystack_integrations.components.retrievers.qdrant import QdrantHybridRetriever
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore
from pydantic import BaseModel
from qdrant_client.models import SparseVector

from retriever.index.sparse import BM25


@component
class SparseTerms:
    """A question's sparse terms. Haystack's own embedder for BM25 has to download its words."""

    def __init__(self, bm25: BM25) -> None:
        self._bm25 = bm25
        component.set_output_types(self, sparse_embedding=SparseEmbedding)

    def run(self, text: str) -> dict[str, Any]:
        """The terms, as Haystack has them."""
        return {"sparse_embedding": _sparse(self._bm25.query(text))}


class Query(BaseModel):
    """A request."""

    query: str


def pipeline(index: dict[str, Any]) -> Pipeline:
    """The search over the index's chunks, which it embeds first."""
    bm25 = BM25(**index["bm25"])
    store = QdrantDocumentStore(
        ":memory:", embedding_dim=384, use_sparse_embeddings=True, sparse_idf=True
    )
    chunks = [
        Document(content=one["text"], meta={"source": one["source"]}) for one in index["chunks"]
    ]
    embedder = SentenceTransformersDocumentEmbedder(model=index["model"], progress_bar=False)
    embedder.warm_up()
    documents = embedder.run(chunks)["documents"]
    sparse = bm25.documents([one["text"] for one in index["chunks"]])
    for document, vector in zip(documents, sparse, strict=True):
        document.sparse_embedding = _sparse(vector)
    store.write_documents(documents)

    search = Pipeline()
    dense = SentenceTransformersTextEmbedder(model=index["model"], progress_bar=False)
    search.add_component("dense", dense)
    search.add_component("sparse", SparseTerms(bm25))
    search.add_component("retriever", QdrantHybridRetriever(store, top_k=index["top_k"]))
    search.connect("dense.embedding", "retriever.query_embedding")
    search.connect("sparse.sparse_embedding", "retriever.query_sparse_embedding")
    search.warm_up()
    return search


def _sparse(vector: SparseVector) -> SparseEmbedding:
    return SparseEmbedding(indices=vector.indices, values=vector.values)


def create(index: dict[str, Any]) -> FastAPI:
    """The server: a `def` endpoint, so a pipeline runs in a thread, as hayhooks runs it."""
    app, search = FastAPI(), pipeline(index)

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/search")
    def find(body: Query) -> dict[str, Any]:
        text = {"text": body.query}
        found = search.run({"dense": text, "sparse": text})["retriever"]["documents"]
        return {
            "results": [
                {"text": one.content, "source": one.meta["source"], "score": one.score}
                for one in found
            ]
        }

    return app


if __name__ == "__main__":
    uvicorn.run(
        create(json.loads(Path(sys.argv[2]).read_text())),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
    )
