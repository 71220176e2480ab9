"""Bulk runs as processes, on one Ray that a module's tests share."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import state
from qdrant_server import KEY as QDRANT_KEY

from retriever.settings import RetrieverSettings

LIMIT = 600
"""Seconds after which something that is waited for is taken not to come."""
_CLUSTER = """
import os, sys
from bulk.cluster import cluster
from bulk.settings import BulkSettings
with cluster(BulkSettings(object_store_mib=200)):
    import ray
    told = [ray.get_runtime_context().gcs_address, os.environ["RAY_AUTH_TOKEN_PATH"]]
    print(*told, flush=True)
    sys.stdin.read()
"""


class Cluster:
    """A Ray as a run starts it for itself, and what reaches it."""

    def __init__(self, process: "subprocess.Popen[str]", address: str, token: Path) -> None:
        self.process, self.address, self.token = psutil.Process(process.pid), address, token
        self.environment = {
            "BULK_RAY_ADDRESS": address,
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # its address is loopback's
        }

    def actors(self, step: str) -> list[psutil.Process]:
        """The processes of a step."""
        found = []
        for one in self.process.children(recursive=True):
            try:
                if f"MapBatches({step})" in "".join(one.cmdline()):
                    found.append(one)
            except psutil.NoSuchProcess:
                pass
        return found


@contextmanager
def shared_ray() -> Iterator[Cluster]:
    """A Ray until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CLUSTER],
        # On a busy machine Ray's own 15 would be as good as never.
        env={**os.environ, "RAY_worker_niceness": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        address, token = process.stdout.readline().split()
        yield Cluster(process, address, Path(token))
    finally:
        process.stdin.close()
        process.wait(120)


class Bulk:
    """Whoever runs `python -m bulk` over one state and one Qdrant."""

    def __init__(self, settings: RetrieverSettings, folder: Path, port: int, ray: Cluster) -> None:
        key = folder / "qdrant-key"
        key.write_text(QDRANT_KEY)
        self.url = settings.database_url
        self.failed_file = folder / "failed.jsonl"
        self.qdrant = {
            "qdrant_url": f"http://127.0.0.1:{port}",
            "qdrant_api_key_file": key,
            "qdrant_read_timeout": 60,
            "qdrant_write_timeout": 60,
        }
        self._folder = folder
        self._environment = {
            **os.environ,
            **{f"RETRIEVER_{name}".upper(): str(value) for name, value in self.qdrant.items()},
            "RETRIEVER_DATABASE_URL": settings.database_url,
            "RETRIEVER_EMBEDDING_URL": str(settings.embedding_url),
            "RETRIEVER_PARSER_SOCKETS": str(settings.parser_sockets),
            "BULK_FAILED_FILE": str(self.failed_file),
            "BULK_GROUP_DOCUMENTS": "20",
            **ray.environment,
        }

    def start(self, source: Path, *words: str, **more: str) -> "subprocess.Popen[str]":
        """A run that goes on by itself."""
        return subprocess.Popen(
            [sys.executable, "-m", "bulk", str(source), *words],
            env={**self._environment, **more},
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, source: Path, *words: str, status: int = 0, **more: str) -> str:
        """A run to its end; what it said."""
        process = self.start(source, *words, **more)
        told, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == status, told
        return told

    def failed(self) -> list[dict[str, Any]]:
        """The failures of the last run, by its file."""
        return [json.loads(line) for line in self.failed_file.read_text("utf-8").splitlines()]

    def live(self) -> dict[str, int]:
        """How many live documents each source has."""
        counted = "SELECT source, count(*) FROM documents WHERE state = 'live' GROUP BY source"
        return {str(source): int(str(n)) for source, n in state.rows(self.url, counted)}

    def rows(self) -> int:
        """All documents that the database has, live or not."""
        ((count,),) = state.rows(self.url, "SELECT count(*) FROM documents")
        return int(str(count))

    def outcomes(self) -> list[dict[str, int]]:
        """Of each run, oldest first, its job's documents by outcome."""
        told = state.rows(
            self.url,
            "SELECT jobs.id, outcome, count(job_items.n) FROM jobs LEFT JOIN job_items"
            " ON job_items.job_id = jobs.id AND job_items.worker = 'bulk'"
            " WHERE jobs.key_id = 'bulk' GROUP BY jobs.created_at, jobs.id, outcome"
            " ORDER BY jobs.created_at",
        )
        jobs: dict[str, dict[str, int]] = {}
        for job, outcome, count in told:
            of_job = jobs.setdefault(str(job), {})
            if outcome is not None:
                of_job[str(outcome)] = int(str(count))
        return list(jobs.values())

    def states(self) -> list[str]:
        """The states of the runs' jobs, oldest first."""
        told = "SELECT state FROM jobs WHERE key_id = 'bulk' ORDER BY created_at"
        return [str(one) for (one,) in state.rows(self.url, told)]


class Gate:
    """Stops Qdrant's writes after so many, until it is opened."""

    def __init__(self, after: int) -> None:
        self._left = after
        self._open = threading.Event()
        self.reached = threading.Event()

    def __call__(self) -> None:
        self._left -= 1
        if self._left < 0:
            self.reached.set()
            self._open.wait(LIMIT)

    def open(self) -> None:
        self._open.set()


def until(what: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    """Wait for it while the process runs."""
    deadline = time.monotonic() + LIMIT
    while not what():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def kill(process: "subprocess.Popen[str]") -> None:
    """End it as the kernel does, and what it has printed with it."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=LIMIT)
