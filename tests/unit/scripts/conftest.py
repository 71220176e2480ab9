"""A small collection on disk, and a scripted retriever that serves it over real HTTP."""

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

KEY = "test-key"
CORPUS = {
    "sun": "The Sun is a star. It is 4.6 billion years old.",
    "moon": "The Moon orbits Earth. It was visited by Neil Armstrong in 1969.",
    "mars": "Mars is the fourth planet. Its red colour comes from iron oxide. \U0001f534",
    "tea": "Tea is made with hot water.\r\nGreen tea comes from China.",
    "chess": "Chess is played on a board of 64 squares.",
}
QUESTIONS = {
    "q1": ("Who visited the Moon in 1969?", ["Neil Armstrong"], "moon"),
    "q2": ("What gives Mars its red colour?", ["iron oxide"], "mars"),
    "q3": ("How many squares has a chess board?", ["64", "sixty-four"], "chess"),
}


def write_collection(folder: Path, questions: dict[str, tuple[str, list[str], str]]) -> Path:
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": i, "title": i.title(), "text": text} for i, text in CORPUS.items()]
    documents.append({"_id": "blank", "title": "", "text": ""})
    queries = [{"_id": i, "text": q, "answers": a} for i, (q, a, _) in questions.items()]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = "".join(f"{i}\t{gold}\t1\n" for i, (_, _, gold) in questions.items())
    (folder / "qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


@dataclass
class FakeRetriever:
    """What the contract says, on word overlap; the flags make it misbehave."""

    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    chats: list[dict[str, Any]] = field(default_factory=list)
    searches: list[dict[str, Any]] = field(default_factory=list)
    refuse: str = "\0"  # a query that holds these words gets a 503
    degraded: list[str] = field(default_factory=list)
    ignore_not: bool = False
    fail_source: str = ""
    wrong_offsets: bool = False
    url: str = ""

    def ingest(self, documents: list[dict[str, Any]]) -> dict[str, Any]:
        counts = dict.fromkeys(("added", "unchanged", "failed"), 0)
        errors = []
        for document in documents:
            if document["source"] == self.fail_source:
                counts["failed"] += 1
                errors.append({"source": document["source"], "message": "no words in it"})
            elif self.documents.get(document["source"]) == document:
                counts["unchanged"] += 1
            else:
                self.documents[document["source"]] = document
                counts["added"] += 1
        job: dict[str, Any] = {
            "id": f"job-{len(self.jobs)}",
            "object": "job",
            "state": "partial" if errors else "succeeded",
            "counts": counts | {"total": len(documents), "replaced": 0, "pending": 0, "chunks": 9},
            "errors": errors,
        }
        self.jobs[job["id"]] = job
        return job

    def search(self, query: str, filters: dict[str, Any], top_k: int) -> list[dict[str, Any]]:
        """Two chunks of every document that shares a long word with the query, best first."""
        if self.refuse in query:
            raise HTTPException(503, "embedding is down")
        words = {word for word in query.lower().strip("?").split() if len(word) > 3}
        excluded = [] if self.ignore_not else filters.get("not", {}).get("source", [])
        scored = [
            (len(words & set(document["text"].lower().replace(".", " ").split())), source)
            for source, document in self.documents.items()
            if document["metadata"]["collection"] == filters["collection"]
            and source not in excluded
        ]
        best = sorted((row for row in scored if row[0]), reverse=True)
        return [
            {
                "chunk_id": f"{source}#{n}",
                "document_id": source.replace("/", "~"),
                "source": source,
                "title": "T",
                "start": 0,
                "end": len(self.documents[source]["text"]),
                "text": self.documents[source]["text"],
                "score": float(shared),
                "scores": {"dense": 0.5, "sparse": float(shared), "rerank": None},
            }
            for shared, source in best
            for n in range(2)
        ][:top_k]

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """The second half of the best document, cited; an abstention where nothing is found."""
        self.chats.append(body)
        results = self.search(body["messages"][-1]["content"], body["rag"]["filters"], 5)
        reply: dict[str, Any] = {
            "retrieval": {"mode": "hybrid", "degraded": self.degraded, "results": results},
            "timings": {"search": 1.5},
            "usage": dict.fromkeys(("prompt_tokens", "completion_tokens"), 10 if results else 0),
            "citations": [],
            "grounding": {"supported": bool(results), "unsupported": [], "abstained": not results},
            "words": "The documents do not say.",
        }
        if results:
            text: str = self.documents[results[0]["source"]]["text"]
            start = text.index(". ") + 2 if ". " in text else 0
            quote = text[start:]
            reply["words"] = f"{quote} [1]"
            reply["citations"] = [
                results[0]
                | {"marker": "1", "title": "T", "page": None, "score": 1.0, "quote": quote}
                | {"start": start + self.wrong_offsets, "end": len(text)}
            ]
        return reply


def fake_app(fake: FakeRetriever) -> FastAPI:
    app = FastAPI()

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> JSONResponse:
        body = {"type": "unavailable", "message": error.detail, "request_id": "r-1"}
        return JSONResponse({"error": body}, error.status_code)

    @app.middleware("http")
    async def authenticate(request: Request, call_next: Any) -> Any:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            body = {"type": "unauthorized", "message": "no such key", "request_id": "r-2"}
            return JSONResponse({"error": body}, 401)
        return await call_next(request)

    @app.get("/readyz")
    async def ready() -> dict[str, Any]:
        return {"status": "ready", "parts": {}}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": "fake-model", "object": "model"}]}

    @app.post("/v1/documents", status_code=202)
    async def documents(body: dict[str, Any]) -> dict[str, Any]:
        return fake.ingest(body["documents"]) | {"state": "queued"}

    @app.get("/v1/jobs/{id_}/events")
    async def events(id_: str) -> StreamingResponse:
        async def told() -> AsyncIterator[str]:
            for state in ("running", fake.jobs[id_]["state"]):
                job = json.dumps(fake.jobs[id_] | {"state": state})
                yield f"event: job\nid: 1\ndata: {job}\n\n"

        return StreamingResponse(told(), media_type="text/event-stream")

    @app.get("/v1/documents/{id_}/text")
    async def text(id_: str) -> PlainTextResponse:
        return PlainTextResponse(fake.documents[id_.replace("~", "/")]["text"])

    @app.post("/v1/search")
    async def search(body: dict[str, Any]) -> dict[str, Any]:
        fake.searches.append(body)
        results = fake.search(body["query"], body["filters"], body["top_k"])
        return {"results": results, "degraded": fake.degraded, "timings": {"embed": 2.0}}

    @app.post("/v1/chat/completions")
    async def chat(body: dict[str, Any]) -> Any:
        reply = fake.answer(body)
        words = reply.pop("words")
        if not body.get("stream"):
            message = {"role": "assistant", "content": words}
            return reply | {"choices": [{"message": message, "finish_reason": "stop"}]}

        async def told() -> AsyncIterator[str]:
            for word in words.partition(" "):
                delta = {"choices": [{"delta": {"content": word}, "finish_reason": None}]}
                yield f"data: {json.dumps(delta)}\n\n"
            done = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
            yield f"data: {json.dumps(done)}\n\ndata: {json.dumps(reply | {'choices': []})}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(told(), media_type="text/event-stream")

    return app


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Five documents and a blank one, three questions."""
    return write_collection(tmp_path / "facts", QUESTIONS)


@pytest.fixture
def foreign_collection(tmp_path: Path) -> Path:
    """Questions on something else."""
    return write_collection(tmp_path / "other", {"f1": ("Which wing stalls?", ["none"], "tea")})


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "api-key"
    path.write_text(f"{KEY}\n")
    return path


@pytest.fixture
def retriever() -> Iterator[FakeRetriever]:
    """The scripted retriever on a free port of loopback."""
    fake = FakeRetriever()
    server = uvicorn.Server(uvicorn.Config(fake_app(fake), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:  # it queues calls until uvicorn is up
        fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield fake
        server.should_exit = True
        thread.join(timeout=60)
        assert not thread.is_alive()
