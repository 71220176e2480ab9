"""The REST calls that the retriever makes of Qdrant, over qdrant-client's local mode.

For tests where Qdrant's image cannot be had. What is asked for and not here is a 404, so that a
call that the retriever begins to make shows up as a failing test and not as a wrong answer.
"""

import argparse
import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel
from qdrant_client import QdrantClient, models

Json = dict[str, Any]


class Collection(BaseModel):
    """What `PUT /collections/NAME` says."""

    vectors: dict[str, models.VectorParams]
    sparse_vectors: dict[str, models.SparseVectorParams] = {}
    metadata: Json | None = None


def create(client: QdrantClient, key: str) -> FastAPI:
    """The API. Calls are not `async`, and one at a time: local mode is not made for several."""
    app = FastAPI()

    @app.middleware("http")
    async def _authenticated(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        open_to_all = request.url.path in ("/readyz", "/healthz", "/livez")
        if open_to_all or hmac.compare_digest(request.headers.get("api-key", ""), key):
            return await call_next(request)
        return PlainTextResponse("Must provide an API key", 401)

    @app.get("/readyz")
    async def readyz() -> PlainTextResponse:
        return PlainTextResponse("all shards are ready")

    @app.get("/collections/{name}/exists")
    async def exists(name: str) -> Json:
        return _result({"exists": client.collection_exists(name)})

    @app.get("/collections/{name}")
    async def get(name: str) -> Json:
        return _result(client.get_collection(name).model_dump(mode="json"))

    @app.put("/collections/{name}")
    async def put(name: str, body: Collection) -> Json:
        made = client.create_collection(
            name,
            vectors_config=body.vectors,
            sparse_vectors_config=body.sparse_vectors,
            metadata=body.metadata,
        )
        return _result(made)

    @app.put("/collections/{name}/index")
    async def index(name: str) -> Json:
        return _done()  # local mode looks at every point anyhow

    @app.put("/collections/{name}/points")
    async def upsert(name: str, body: models.PointsList) -> Json:
        client.upsert(name, body.points)
        return _done()

    @app.post("/collections/{name}/points/delete")
    async def delete(name: str, body: models.FilterSelector) -> Json:
        client.delete(name, body.filter)
        return _done()

    @app.post("/collections/{name}/points/query")
    async def query(name: str, body: models.QueryRequest) -> Json:
        return _result(_query(client, name, body))

    @app.post("/collections/{name}/points/query/batch")
    async def batch(name: str, body: models.QueryRequestBatch) -> Json:
        return _result([_query(client, name, one) for one in body.searches])

    @app.exception_handler(ValueError)
    async def _unknown(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"status": {"error": str(error)}, "time": 0}, 404)

    return app


def _query(client: QdrantClient, name: str, asked: models.QueryRequest) -> Json:
    answer = client.query_points(
        name,
        query=asked.query,
        using=asked.using,
        prefetch=asked.prefetch,
        query_filter=asked.filter,
        limit=asked.limit or 10,
        with_payload=True if asked.with_payload is None else asked.with_payload,
    )
    return answer.model_dump(mode="json")


def _result(value: Any) -> Json:
    return {"result": value, "status": "ok", "time": 0}


def _done() -> Json:
    return _result({"operation_id": 0, "status": "completed"})


def main() -> None:
    """Serve /qdrant/storage with the key of the configuration file, as Qdrant does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config-path", type=Path, required=True)
    config = yaml.safe_load(parser.parse_args().config_path.read_text())
    client = QdrantClient(path="/qdrant/storage/local")
    uvicorn.run(create(client, config["service"]["api_key"]), host="0.0.0.0", port=6333)


if __name__ == "__main__":
    main()
