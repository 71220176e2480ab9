"""A retriever with an embedding service and a scripted model, each in a process of its own.

The model streams fixed words, each at its time by the clock, so that whatever is late is late
because of the retriever (or of the machine).
"""

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil
import typer
from aiohttp import web

from bench.database import database
from bench.ingest import KEY
from embedded.parts import ROOT

FIRST_SECONDS = 0.05
"""The scripted model's time to its first word."""
HEADERS = {"Authorization": f"Bearer {KEY}"}
_SERVICES = ("core", "embedding", "retriever")
_SENTENCE = (
    "The retriever finds the passages that bear on a question, puts the best before the model, and "
    "checks each sentence of the answer against them while the words are still on their way."
)


def _chunk(delta: dict[str, str], reason: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    body = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
    return b"data: " + orjson.dumps({**body, "choices": [choice], **more}) + b"\n\n"


async def _models(_: web.Request) -> web.Response:
    model = {"id": "scripted", "object": "model", "max_model_len": 8192}
    return web.json_response({"object": "list", "data": [model]})


async def _complete(request: web.Request) -> web.StreamResponse:
    """As many words as asked for, each at its time by the clock, not some time after the last."""
    sentence = _SENTENCE.split()
    asked, interval = await request.json(), request.app[INTERVAL]
    words = asked.get("max_completion_tokens") or asked["max_tokens"]
    reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
    began = time.perf_counter()
    await reply.prepare(request)
    for n, word in zip(range(words), itertools.cycle(sentence), strict=False):
        due = began + FIRST_SECONDS + n * interval
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        # Numbered, for an answer that says the same twice is stopped.
        said = f" {word[:-1]} {n // len(sentence)}." if word.endswith(".") else f" {word}"
        await reply.write(_chunk({"content": said}))
    tokens = {"prompt_tokens": 9, "completion_tokens": words, "total_tokens": words + 9}
    await reply.write(_chunk({}, "stop", usage=tokens) + b"data: [DONE]\n\n")
    return reply


INTERVAL = web.AppKey("interval", float)


def serve_model(port: int, rate: float) -> None:
    """Serve the model on `port`, with `rate` words a second for each stream."""
    server = web.Application()
    server[INTERVAL] = 1 / rate
    server.router.add_get("/v1/models", _models)
    server.router.add_post("/v1/chat/completions", _complete)
    web.run_app(server, host="127.0.0.1", port=port, print=None, access_log=None)


@dataclass(frozen=True)
class Stack:
    """Addresses of what runs, and the retriever's process."""

    retriever: str
    embedding: str
    model: str
    process: psutil.Process


@contextmanager
def stack(folder: Path, port: int, rate: float, checkout: Path = ROOT) -> Iterator[Stack]:
    """A retriever on `port`, its embedding service, its model and PostgreSQL on the next three.

    The services' code is that of `checkout`, which may be another than this.
    """
    key = folder / "api-key"
    key.write_text(KEY)
    key.chmod(0o600)
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(str(checkout / "services" / name) for name in _SERVICES),
        "RETRIEVER_PORT": str(port),
        "RETRIEVER_DATA_DIR": str(folder / "data"),
        "RETRIEVER_API_KEY_FILE": str(key),
        "RETRIEVER_EMBEDDING_URL": f"http://127.0.0.1:{port + 1}",
        "RETRIEVER_LLM_URL": f"http://127.0.0.1:{port + 2}/v1",
        "RETRIEVER_RELEVANCE": "-1",  # every question is worth asking
        "RETRIEVER_CONCURRENT_SEARCHES": "2048",  # how the curve goes on where it would say 429
        "EMBEDDING_PORT": str(port + 1),
        "EMBEDDING_CACHE_TEXTS": "0",
    }
    model = [sys.executable, "-m", "bench.scripted", str(port + 2), str(rate)]
    with ExitStack() as exits:
        environment |= exits.enter_context(database(folder, port + 3))
        log = exits.enter_context((folder / "log").open("wb"))

        def start(*command: str, env: dict[str, str] = environment) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
            exits.callback(process.wait, 30)
            exits.callback(process.terminate)
            return process

        start(*model, env=dict(os.environ))  # this checkout's, whichever the services are of
        start(sys.executable, "-m", "embedding")
        process = start(sys.executable, "-m", "retriever")
        retriever, embedding, served = (f"http://127.0.0.1:{port + n}" for n in range(3))
        yield Stack(retriever, embedding, served, psutil.Process(process.pid))


if __name__ == "__main__":
    typer.run(serve_model)
