"""The gRPC calls that the retriever makes of Qdrant, over qdrant-client's local mode.

For tests where Qdrant's own program cannot be had: the services are the generated ones that
qdrant-client carries, so what is asked and answered has Qdrant's form. What is asked for and not
here is UNIMPLEMENTED, so that a call that the retriever begins to make shows up as a failing test
and not as a wrong answer. It can be told to fail as Qdrant does (`Faults`).
"""

import argparse
import hmac
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import grpc
import yaml
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as qdrant
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

VERSION = "1.19.1"
WAL_BYTES = 32 * 2**20
"""What Qdrant wants to be free on its disk before it takes a write: the room of its log."""
DISK_FULL = "No space left on device: WAL buffer size exceeds available disk space"
_PORT, _HTTP_PORT = 6334, 6333
_THREADS = 32


@dataclass
class Faults:
    """How the server is to fail, while a test runs."""

    writes: str = ""
    """What every write is refused with, as Qdrant words it: a full or read-only disk."""
    everything: str = ""
    """What all is refused with but to say that the collection is there: recovery mode."""
    status: grpc.StatusCode = grpc.StatusCode.INTERNAL
    hangs: bool = False
    """Whether calls are taken and never answered, as by a paused process."""
    before_write: Callable[[], None] = lambda: None
    """Called before each write is made."""
    released: threading.Event = field(default_factory=threading.Event)
    """Ends the calls that hang."""


class Standin:
    """A server on a port of loopback, or of every address, until it is stopped."""

    def __init__(
        self,
        client: QdrantClient,
        key: str,
        address: str = "127.0.0.1:0",
        *,
        version: str = VERSION,
        free: Callable[[], int] = lambda: WAL_BYTES,
        credentials: grpc.ServerCredentials | None = None,
        beside: "Standin | None" = None,
    ) -> None:
        """`free`: bytes that the disk has left; `beside`: another node, which holds the same."""
        self.faults = Faults()
        self._client, self._key, self._version, self._free = client, key, version, free
        self._indexes: dict[str, dict[str, models.PayloadSchemaParams]] = {}
        self._made: dict[str, dict[str, Any]] = {}
        self._one_at_a_time = threading.RLock()  # local mode is not made for several
        if beside:
            self._client, self._indexes, self._made = beside._client, beside._indexes, beside._made
            self._one_at_a_time = beside._one_at_a_time
        # A client may look for dead connections as often as it likes, as it may at Qdrant's server.
        options = [
            ("grpc.http2.min_ping_interval_without_data_ms", 1),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.max_receive_message_length", 32 * 2**20),
        ]
        self._server = grpc.server(ThreadPoolExecutor(_THREADS), options=options)
        for service in (_Collections(self), _Points(self), _Root(self)):
            service.join(self._server)
        if credentials:
            self.port = self._server.add_secure_port(address, credentials)
        else:
            self.port = self._server.add_insecure_port(address)
        self._server.start()

    def stop(self) -> None:
        """End at once, calls under way included, as a killed process does."""
        self.faults.released.set()
        self._server.stop(None).wait()

    def answer(
        self,
        context: grpc.ServicerContext,
        make: Callable[[QdrantClient], Any],
        write: bool,
        in_recovery: bool = False,
    ) -> Any:
        """What `make` gives, or the error that Qdrant's server would answer with."""
        given = dict(context.invocation_metadata()).get("api-key", "")
        if not hmac.compare_digest(str(given), self._key):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Must provide an API key")
        if self.faults.hangs:
            self.faults.released.wait()
        if self.faults.everything and not in_recovery:
            self._refuse(context, self.faults.everything)
        if write and (self.faults.writes or self._free() < WAL_BYTES):
            self._refuse(context, self.faults.writes or DISK_FULL)
        with self._one_at_a_time:
            if write:
                self.faults.before_write()
            try:
                return make(self._client)
            except ValueError as error:
                known = "not found" in str(error)
                code = grpc.StatusCode.NOT_FOUND if known else grpc.StatusCode.INVALID_ARGUMENT
                context.abort(code, str(error))

    def _refuse(self, context: grpc.ServicerContext, reason: str) -> NoReturn:
        context.abort(self.faults.status, f"Service internal error: {reason}")

    def create(self, asked: qdrant.CreateCollection) -> bool:
        """Make a collection."""
        vectors = GrpcToRest.convert_vectors_config(asked.vectors_config)
        sparse = GrpcToRest.convert_sparse_vector_config(asked.sparse_vectors_config)
        if self._client.collection_exists(asked.collection_name):
            raise ValueError(f"Wrong input: Collection `{asked.collection_name}` already exists!")
        self._made[asked.collection_name] = _storage(asked)
        return self._client.create_collection(
            asked.collection_name,
            vectors_config=vectors,
            sparse_vectors_config=sparse,
            metadata=GrpcToRest.convert_payload(asked.metadata),
        )

    def info(self, name: str) -> models.CollectionInfo:
        """A collection, with the payload indexes that were asked for: local mode keeps none."""
        indexes = {
            key: models.PayloadIndexInfo(
                data_type=models.PayloadSchemaType(params.type.value), params=params, points=0
            )
            for key, params in self._indexes.get(name, {}).items()
        }
        info = self._client.get_collection(name)
        made = dict(self._made.get(name, {}))
        quantization = made.pop("quantization_config", None)
        params = info.config.params.model_copy(update=made)
        config = info.config.model_copy(
            update={"params": params, "quantization_config": quantization}
        )
        return info.model_copy(update={"payload_schema": indexes, "config": config})

    def index(self, asked: qdrant.CreateFieldIndexCollection) -> None:
        """Note a payload index: local mode looks at every point anyhow."""
        self._client.get_collection(asked.collection_name)
        params = (
            GrpcToRest.convert_payload_schema_params(asked.field_index_params)
            if asked.HasField("field_index_params")
            else models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD)
        )
        self._indexes.setdefault(asked.collection_name, {})[asked.field_name] = params

    def unindex(self, asked: qdrant.DeleteFieldIndexCollection) -> None:
        """Forget a payload index."""
        self._client.get_collection(asked.collection_name)
        self._indexes.get(asked.collection_name, {}).pop(asked.field_name, None)

    def health(self) -> qdrant.HealthCheckReply:
        """Title and version."""
        return qdrant.HealthCheckReply(title="qdrant - stand-in", version=self._version)


class _Collections(qdrant.CollectionsServicer):
    def __init__(self, standin: Standin) -> None:
        self._standin = standin

    def join(self, server: grpc.Server) -> None:
        qdrant.add_CollectionsServicer_to_server(self, server)

    def CollectionExists(
        self, request: qdrant.CollectionExistsRequest, context: grpc.ServicerContext
    ) -> qdrant.CollectionExistsResponse:
        exists = self._standin.answer(
            context,
            lambda client: client.collection_exists(request.collection_name),
            write=False,
            in_recovery=True,
        )
        return qdrant.CollectionExistsResponse(result=qdrant.CollectionExists(exists=exists))

    def Get(
        self, request: qdrant.GetCollectionInfoRequest, context: grpc.ServicerContext
    ) -> qdrant.GetCollectionInfoResponse:
        info = self._standin.answer(
            context, lambda _: self._standin.info(request.collection_name), write=False
        )
        return qdrant.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    def Create(
        self, request: qdrant.CreateCollection, context: grpc.ServicerContext
    ) -> qdrant.CollectionOperationResponse:
        made = self._standin.answer(context, lambda _: self._standin.create(request), write=True)
        return qdrant.CollectionOperationResponse(result=made)

    def Delete(
        self, request: qdrant.DeleteCollection, context: grpc.ServicerContext
    ) -> qdrant.CollectionOperationResponse:
        gone = self._standin.answer(
            context, lambda client: client.delete_collection(request.collection_name), write=True
        )
        return qdrant.CollectionOperationResponse(result=gone)


class _Points(qdrant.PointsServicer):
    def __init__(self, standin: Standin) -> None:
        self._standin = standin

    def join(self, server: grpc.Server) -> None:
        qdrant.add_PointsServicer_to_server(self, server)

    def CreateFieldIndex(
        self, request: qdrant.CreateFieldIndexCollection, context: grpc.ServicerContext
    ) -> qdrant.PointsOperationResponse:
        self._standin.answer(context, lambda _: self._standin.index(request), write=True)
        return _done()

    def DeleteFieldIndex(
        self, request: qdrant.DeleteFieldIndexCollection, context: grpc.ServicerContext
    ) -> qdrant.PointsOperationResponse:
        self._standin.answer(context, lambda _: self._standin.unindex(request), write=True)
        return _done()

    def Upsert(
        self, request: qdrant.UpsertPoints, context: grpc.ServicerContext
    ) -> qdrant.PointsOperationResponse:
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        self._standin.answer(
            context, lambda client: client.upsert(request.collection_name, points), write=True
        )
        return _done()

    def Delete(
        self, request: qdrant.DeletePoints, context: grpc.ServicerContext
    ) -> qdrant.PointsOperationResponse:
        selector = GrpcToRest.convert_points_selector(request.points)
        self._standin.answer(
            context, lambda client: client.delete(request.collection_name, selector), write=True
        )
        return _done()

    def Scroll(
        self, request: qdrant.ScrollPoints, context: grpc.ServicerContext
    ) -> qdrant.ScrollResponse:
        offset = request.offset if request.HasField("offset") else None
        found, following = self._standin.answer(
            context,
            lambda client: client.scroll(
                request.collection_name,
                limit=request.limit,
                offset=offset and GrpcToRest.convert_point_id(offset),
                with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
                with_vectors=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
            ),
            write=False,
        )
        return qdrant.ScrollResponse(
            result=[RestToGrpc.convert_record(one) for one in found],
            next_page_offset=following and RestToGrpc.convert_extended_point_id(following),
        )

    def Query(
        self, request: qdrant.QueryPoints, context: grpc.ServicerContext
    ) -> qdrant.QueryResponse:
        answer = self._standin.answer(
            context, lambda client: _query(client, request.collection_name, request), write=False
        )
        return qdrant.QueryResponse(result=_scored(answer))

    def QueryBatch(
        self, request: qdrant.QueryBatchPoints, context: grpc.ServicerContext
    ) -> qdrant.QueryBatchResponse:
        answers = self._standin.answer(
            context,
            lambda client: [
                _query(client, request.collection_name, one) for one in request.query_points
            ],
            write=False,
        )
        return qdrant.QueryBatchResponse(
            result=[qdrant.BatchResult(result=_scored(answer)) for answer in answers]
        )


class _Root(qdrant.QdrantServicer):
    def __init__(self, standin: Standin) -> None:
        self._standin = standin

    def join(self, server: grpc.Server) -> None:
        qdrant.add_QdrantServicer_to_server(self, server)

    def HealthCheck(
        self, request: qdrant.HealthCheckRequest, context: grpc.ServicerContext
    ) -> qdrant.HealthCheckReply:
        return self._standin.health()


def _storage(asked: qdrant.CreateCollection) -> dict[str, Any]:
    """How a collection is to be kept: local mode has no such choice, and notes none."""
    made: dict[str, Any] = {
        "shard_number": asked.shard_number or 1,
        "replication_factor": asked.replication_factor or 1,
        "write_consistency_factor": asked.write_consistency_factor or 1,
        "on_disk_payload": asked.on_disk_payload or not asked.HasField("on_disk_payload"),
    }
    if asked.HasField("quantization_config"):
        made["quantization_config"] = GrpcToRest.convert_quantization_config(
            asked.quantization_config
        )
    return made


def _query(client: QdrantClient, name: str, asked: qdrant.QueryPoints) -> models.QueryResponse:
    query = GrpcToRest.convert_query_points(asked)
    return client.query_points(
        name,
        query=query.query,
        using=query.using,
        prefetch=query.prefetch,
        query_filter=query.filter,
        search_params=query.params,
        limit=query.limit or 10,
        with_payload=bool(query.with_payload),
    )


def _scored(answer: models.QueryResponse) -> list[qdrant.ScoredPoint]:
    return [RestToGrpc.convert_scored_point(point) for point in answer.points]


def _done() -> qdrant.PointsOperationResponse:
    return qdrant.PointsOperationResponse(
        result=qdrant.UpdateResult(operation_id=0, status=qdrant.UpdateStatus.Completed)
    )


class _Ready(BaseHTTPRequestHandler):
    """What the image's health check asks over HTTP."""

    def do_GET(self) -> None:
        ready = self.path in ("/readyz", "/healthz", "/livez")
        self.send_response(200 if ready else 404)
        self.end_headers()
        self.wfile.write(b"all shards are ready" if ready else b"")

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main() -> None:
    """Serve /qdrant/storage with the key of the configuration file, as Qdrant does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config-path", type=Path, required=True)
    config = yaml.safe_load(parser.parse_args().config_path.read_text())
    storage = Path("/qdrant/storage")
    client = QdrantClient(path=str(storage / "local"), force_disable_check_same_thread=True)
    Standin(
        client,
        config["service"]["api_key"],
        f"[::]:{_PORT}",
        free=lambda: shutil.disk_usage(storage).free,
    )
    ThreadingHTTPServer(("", _HTTP_PORT), _Ready).serve_forever()


if __name__ == "__main__":
    main()
