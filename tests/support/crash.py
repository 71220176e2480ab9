"""The retriever and its embedding service as processes that a test can kill."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from qdrant_client import QdrantClient
from rig import KEY, Api, is_open
from serving import free_port

from retriever.settings import RetrieverSettings


class RetrieverProcess:
    """`python -m retriever` over one data folder, started and killed as often as a test likes."""

    def __init__(self, settings: RetrieverSettings) -> None:
        self._log = settings.data_dir.parent / "retriever.log"
        self._environment = {
            **os.environ,
            "RETRIEVER_DATA_DIR": str(settings.data_dir),
            "RETRIEVER_DATABASE_URL": settings.database_url,
            "RETRIEVER_API_KEY_FILE": str(settings.api_key_file),
            "RETRIEVER_EMBEDDING_URL": str(settings.embedding_url),
            "RETRIEVER_LLM_URL": str(settings.llm_url),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def started(self) -> Iterator[Api]:
        """Start it; gives a client once its index is open. It is killed at the end, if not yet."""
        port = free_port()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "retriever"],
                env={**self._environment, "RETRIEVER_PORT": str(port)},
                stdout=log,
                stderr=log,
            )
        headers = {"Authorization": f"Bearer {KEY}"}
        try:
            with Api(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as api:
                self._await_open(api)
                yield api
        finally:
            self.kill()

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _await_open(self, api: Api) -> None:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            try:
                if is_open(api.get("/readyz").json()):
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(self._log.read_text()[-2000:])


def stored_points(data_dir: Path) -> list[str]:
    """The document of every point that embedded Qdrant holds; no process may have it open."""
    client = QdrantClient(path=str(data_dir / "qdrant"))
    try:
        records, _ = client.scroll("chunks", limit=100_000)
        return sorted((record.payload or {})["document_id"] for record in records)
    finally:
        client.close()
