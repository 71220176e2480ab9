"""Several retrievers and workers over one database and one Qdrant server: as if they were one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from qdrant_client import QdrantClient
from qdrant_server import KEY as QDRANT_KEY
from qdrant_server import serving_qdrant
from rig import KEY, Api, is_open
from serving import free_port, serving
from state import execute, rows, server

from retriever.main import create as create_retriever
from retriever.settings import RetrieverSettings

pytestmark = pytest.mark.timeout(600)  # a start takes seconds, on a crowded machine many


class Fleet:
    """Two retrievers in this process, and workers that can be killed."""

    def __init__(self, settings: RetrieverSettings, held: QdrantClient, exits: ExitStack) -> None:
        self.settings, self.held, self._exits = settings, held, exits
        self.first, self.second = (self._retriever(n) for n in range(2))
        self._log = (settings.data_dir.parent / "workers.log").open("ab")
        exits.callback(self._log.close)

    def _retriever(self, n: int) -> Api:
        own = self.settings.model_copy(update={"data_dir": self.settings.data_dir / str(n)})
        url = self._exits.enter_context(serving(create_retriever(own)))
        headers = {"Authorization": f"Bearer {KEY}"}
        api = self._exits.enter_context(Api(base_url=url, headers=headers, timeout=60))
        deadline = time.monotonic() + 100
        while not is_open(api.get("/readyz").json()):
            assert time.monotonic() < deadline, api.get("/readyz").text
        return api

    def worker(self) -> "subprocess.Popen[bytes]":
        """A worker that runs, killed at the end if it is still there."""
        settings = self.settings
        (url,) = settings.qdrant_url or ()
        process = subprocess.Popen(
            [sys.executable, "-m", "retriever", "ingest"],
            env={
                **os.environ,
                "RETRIEVER_PORT": str(free_port()),
                "RETRIEVER_DATABASE_URL": settings.database_url,
                "RETRIEVER_EMBEDDING_URL": str(settings.embedding_url),
                "RETRIEVER_QDRANT_URL": str(url),
                "RETRIEVER_QDRANT_API_KEY_FILE": str(settings.qdrant_api_key_file),
                "RETRIEVER_PARSER_SOCKETS": str(settings.parser_sockets),
            },
            stdout=self._log,
            stderr=self._log,
        )
        self._exits.callback(process.wait)
        self._exits.callback(process.kill)
        return process

    def leases(self) -> int:
        """Documents that some worker has."""
        statement = "SELECT count(*) FROM job_items WHERE outcome IS NULL AND worker IS NOT NULL"
        return int(str(rows(self.settings.database_url, statement)[0][0]))

    def points(self) -> list[str]:
        """The document of every point."""
        records, _ = self.held.scroll("chunks", limit=100_000)
        return sorted((record.payload or {})["document_id"] for record in records)


@pytest.fixture
def fleet(settings: RetrieverSettings, tmp_path: Path) -> Iterator[Fleet]:
    held = QdrantClient(":memory:")
    (tmp_path / "qdrant-key").write_text(QDRANT_KEY)
    with ExitStack() as exits:
        standin = exits.enter_context(serving_qdrant(held))
        beside: dict[str, Any] = {
            "qdrant_url": f"http://127.0.0.1:{standin.port}",
            "qdrant_api_key_file": tmp_path / "qdrant-key",
        }
        told = RetrieverSettings.model_validate(settings.model_dump() | beside)
        yield Fleet(told, held, exits)


def until(wanted: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def texts(count: int, version: int = 0) -> list[dict[str, Any]]:
    return [
        {"text": f"Canary {n} in version {version}. " * (1 + n % 9), "source": f"s{n}"}
        for n in range(count)
    ]


def test_without_a_worker_documents_wait_and_the_retrievers_say_so(fleet: Fleet) -> None:
    job = fleet.first.post("/v1/documents", json={"documents": texts(2)}).json()
    assert job["waiting"] == "no worker takes documents in"
    ready = fleet.second.get("/readyz")
    assert (ready.status_code, ready.json()["parts"]["ingest"]["state"]) == (200, "down")
    assert ready.json()["status"] == "degraded"
    fleet.worker()
    done = fleet.second.finished(job["id"])  # followed at another retriever than it was made at
    assert (done["state"], done["counts"]["added"], done["waiting"]) == ("succeeded", 2, None)
    for api in (fleet.first, fleet.second):
        found = api.post("/v1/search", json={"query": "canary"}).json()["results"]
        assert {one["source"] for one in found} == {"s0", "s1"}


def test_a_key_revoked_at_one_retriever_is_refused_by_the_other(fleet: Fleet) -> None:
    body = {"tenant": "acme", "role": "reader", "groups": []}
    made = fleet.first.post("/v1/keys", json=body).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    # At once, though the other was told of it by nobody yet.
    assert fleet.second.get("/v1/documents", headers=headers).status_code == 200
    assert fleet.first.delete(f"/v1/keys/{made['id']}").status_code == 204
    until(lambda: fleet.second.get("/v1/documents", headers=headers).status_code == 401)


def test_killed_workers_lose_nothing_and_double_nothing(fleet: Fleet) -> None:
    """The leases of the dead are ended by hand, so that nobody waits for them."""
    jobs = []
    workers = [fleet.worker() for _ in range(2)]
    for version in range(3):
        api = (fleet.first, fleet.second)[version % 2]
        reply = api.post("/v1/documents", json={"documents": texts(60, version)})
        jobs.append(reply.json()["id"])
        until(lambda: fleet.leases() > 0)
        workers.pop(0).kill()
        workers.append(fleet.worker())
    dead = (
        "UPDATE job_items SET leased_until = now() WHERE worker NOT IN"
        " (SELECT id FROM workers WHERE seen_at > now() - interval '12 seconds')"
    )

    def ended() -> bool:
        execute(fleet.settings.database_url, dead)
        states = [fleet.first.get(f"/v1/jobs/{one}").json()["state"] for one in jobs]
        return set(states) == {"succeeded"}

    until(ended, 300)
    counts = [fleet.first.get(f"/v1/jobs/{one}").json()["counts"] for one in jobs]
    assert [one["added"] for one in counts] == [60, 0, 0]
    assert [one["replaced"] for one in counts] == [0, 60, 60]
    listed = fleet.second.get("/v1/documents?limit=1000").json()["data"]
    assert sorted(one["source"] for one in listed) == sorted(f"s{n}" for n in range(60))
    assert all("version 2" in fleet.first.text(one["id"]) for one in listed[:5])
    expected = sorted(one["id"] for one in listed for _ in range(one["chunks"]))
    until(lambda: fleet.points() == expected)


def test_a_worker_that_is_asked_to_end_gives_back_what_it_has(
    fleet: Fleet, embedding_server: Any
) -> None:
    worker = fleet.worker()
    until(lambda: fleet.first.get("/readyz").json()["parts"]["ingest"]["state"] == "up")
    embedding_server.stop()  # so it cannot finish
    job = fleet.first.post("/v1/documents", json={"documents": texts(30)}).json()
    until(lambda: fleet.leases() > 0)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) in (0, -signal.SIGTERM)  # uvicorn raises it again when it is done
    assert fleet.leases() == 0
    embedding_server.start()
    fleet.worker()
    assert fleet.second.finished(job["id"])["counts"]["added"] == 30
    tried = rows(fleet.settings.database_url, "SELECT max(attempts) FROM job_items")
    assert tried == [(1,)]


def test_postgresql_that_restarts_is_waited_for(fleet: Fleet) -> None:
    """As its sessions are cut, and cut again, while documents go in."""
    fleet.worker()
    job = fleet.first.post("/v1/documents", json={"documents": texts(60)}).json()
    name = fleet.settings.database_url.rpartition("/")[2].partition("?")[0]
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"

    def ended() -> bool:
        server().execute(cut)
        time.sleep(0.5)
        try:
            reply = fleet.first.get(f"/v1/jobs/{job['id']}")
        except httpx2.TransportError:
            return False
        return reply.status_code == 200 and reply.json()["counts"]["pending"] < 30

    until(ended, 300)
    done = fleet.second.finished(job["id"])
    assert (done["state"], done["counts"]["added"]) == ("succeeded", 60), done
    listed = fleet.second.get("/v1/documents?limit=1000").json()["data"]
    expected = sorted(one["id"] for one in listed for _ in range(one["chunks"]))
    until(lambda: fleet.points() == expected)
