"""Retrievers and workers as processes over one state, one Qdrant and one data folder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
from rig import KEY, Api, is_open
from serving import free_port

from retriever.settings import RetrieverSettings


class Member:
    """One process of the fleet, at its port however often it is started."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], folder: Path
    ) -> None:
        self.name, self._command = name, command
        self._port = free_port()
        self._log = folder / f"{name}.log"
        self._environment = {
            **os.environ,
            **environment,
            "RETRIEVER_PORT": str(self._port),
            "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={name}",
        }
        self._process: subprocess.Popen[bytes] | None = None
        headers = {"Authorization": f"Bearer {KEY}"}
        self.api = Api(base_url=f"http://127.0.0.1:{self._port}", headers=headers, timeout=120)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "retriever", *self._command],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def tell(self, how: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(how)

    def ended(self) -> int | None:
        """Wait until the process is gone; what it ended with, none where it did not run."""
        if self._process is None:
            return None
        code = self._process.wait(120)
        self._process = None
        return code

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send the signal, and wait until the process is gone."""
        self.tell(how)
        self.ended()

    def stream(self) -> Iterator[str]:
        """The data of a streamed answer's events."""
        body = {"messages": [{"role": "user", "content": "Which document?"}], "stream": True}
        with self.api.stream("POST", "/v1/chat/completions", json=body) as reply:
            assert reply.status_code == 200
            for line in reply.iter_lines():
                if line.startswith("data: "):
                    yield line.removeprefix("data: ")

    def await_open(self) -> None:
        """Until it says that it can do its work."""
        deadline = time.monotonic() + 300
        while True:
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < deadline, self._log.read_text()[-3000:]
            try:
                if is_open(self.api.get("/readyz").json()):
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)


class Fleet:
    """All of it."""

    def __init__(
        self, settings: RetrieverSettings, retrievers: int, workers: int, **more: str
    ) -> None:
        environment = {
            "RETRIEVER_DATA_DIR": str(settings.data_dir),
            "RETRIEVER_DATABASE_URL": settings.database_url,
            "RETRIEVER_API_KEY_FILE": str(settings.api_key_file),
            "RETRIEVER_EMBEDDING_URL": str(settings.embedding_url),
            "RETRIEVER_QUERY_EMBEDDING_TIMEOUT": "60",
            "RETRIEVER_LLM_URL": str(settings.llm_url),
            "RETRIEVER_PARSER_SOCKETS": str(settings.parser_sockets),
            "RETRIEVER_RELEVANCE": "-1",
            **more,
        }
        folder = settings.data_dir.parent
        self.retrievers = [
            Member(f"retriever-{n}", [], environment, folder) for n in range(retrievers)
        ]
        self.workers = [
            Member(f"worker-{n}", ["ingest"], environment, folder) for n in range(workers)
        ]

    @contextmanager
    def running(self) -> Iterator["Fleet"]:
        """All members up, until the block ends."""
        with ExitStack() as exits:
            for member in (*self.retrievers, *self.workers):
                member.start()
                exits.callback(member.api.close)
                exits.callback(member.end)
            for member in (*self.retrievers, *self.workers):
                member.await_open()
            yield self


def words(events: list[str]) -> str:
    """What the events of a streamed answer say."""
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    assert not any("error" in chunk for chunk in chunks), chunks[-1]
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )
