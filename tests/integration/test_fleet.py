"""Several retrievers and workers over one state and one Qdrant, of which any may die.

`BULKHEAD_FLEET_DOCUMENTS=500` makes it the long run of the docs.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import state
from fleet import Fleet, Member, words
from qdrant_client import QdrantClient
from qdrant_server import KEY as QDRANT_KEY
from qdrant_server import serving_qdrant
from rig import Neighbour
from scripted_llm import ScriptedLLM

from retriever.settings import RetrieverSettings

pytestmark = pytest.mark.timeout(3600)
ROOT = Path(__file__).parents[2]
DOCUMENTS = int(os.environ.get("BULKHEAD_FLEET_DOCUMENTS", "40"))
KILLS = max(6, DOCUMENTS // 50)
WORDS = [f"Word {n} of the answer." for n in range(40)]


@pytest.fixture
def held() -> QdrantClient:
    """What Qdrant holds."""
    return QdrantClient(":memory:", force_disable_check_same_thread=True)


@pytest.fixture
def fleet(
    settings: RetrieverSettings, held: QdrantClient, tmp_path: Path, llm: ScriptedLLM
) -> Iterator[Fleet]:
    llm.words, llm.pause = [f" {word}" for word in WORDS], 0.05
    key = tmp_path / "qdrant-key"
    key.write_text(QDRANT_KEY)
    with serving_qdrant(held) as one, serving_qdrant(beside=one) as other:
        nodes = ",".join(f"http://127.0.0.1:{node.port}" for node in (one, other))
        several = Fleet(
            settings,
            retrievers=3,
            workers=2,
            RETRIEVER_QDRANT_URL=nodes,
            RETRIEVER_QDRANT_API_KEY_FILE=str(key),
            RETRIEVER_QDRANT_READ_TIMEOUT="60",
            RETRIEVER_QDRANT_WRITE_TIMEOUT="60",
        )
        with several.running():
            yield several


def text(n: int, version: int) -> dict[str, Any]:
    words = f"Document {n} in version {version}. " * (1 + n % 12) * 5
    return {"text": words, "source": f"s{n}", "title": f"{n} v{version}"}


class Client:
    """Whoever uses the fleet: asks one retriever, and another where that one is gone."""

    def __init__(self, retrievers: list[Member]) -> None:
        self._retrievers = retrievers
        self.again = 0
        """How often a request was made again."""

    def ask(self, call: Callable[[httpx2.Client], httpx2.Response]) -> httpx2.Response:
        deadline = time.monotonic() + 900
        while True:
            try:
                reply = call(random.choice(self._retrievers).api)
                if reply.status_code not in (429, 503):
                    return reply
            except httpx2.TransportError:
                pass
            self.again += 1
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def hand_in(self, documents: list[dict[str, Any]], name: str) -> str:
        """The job of these documents, once, however often it is asked."""
        body, headers = {"documents": documents}, {"Idempotency-Key": name}
        reply = self.ask(lambda api: api.post("/v1/documents", json=body, headers=headers))
        assert reply.status_code == 202, reply.text
        job: str = reply.json()["id"]
        return job

    def finished(self, job: str) -> dict[str, Any]:
        deadline = time.monotonic() + 1800
        while True:
            told: dict[str, Any] = self.ask(lambda api: api.get(f"/v1/jobs/{job}")).json()
            if told["state"] not in ("queued", "running"):
                return told
            assert time.monotonic() < deadline, told
            time.sleep(0.2)

    def listed(self) -> list[dict[str, Any]]:
        reply = self.ask(lambda api: api.get("/v1/documents?limit=1000"))
        documents: list[dict[str, Any]] = reply.json()["data"]
        return documents


class Work(threading.Thread):
    """Adds all documents, changes every second, deletes every fourth; in batches, side by side."""

    def __init__(self, client: Client) -> None:
        super().__init__(daemon=True)
        self._client = client
        self.jobs: dict[str, int] = {}
        """By its id, how many documents a job has."""
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for version, numbers in ((0, range(DOCUMENTS)), (1, range(0, DOCUMENTS, 2))):
                for first in range(0, len(numbers), 10):
                    batch = [text(n, version) for n in numbers[first : first + 10]]
                    job = self._client.hand_in(batch, f"{version}-{first}")
                    assert job not in self.jobs
                    self.jobs[job] = len(batch)
            for job in list(self.jobs):
                self._client.finished(job)
            ids = {one["source"]: one["id"] for one in self._client.listed()}
            for n in range(0, DOCUMENTS, 4):
                address = f"/v1/documents/{ids[f's{n}']}"
                reply = self._client.ask(lambda api, address=address: api.delete(address))  # type: ignore[misc]
                assert reply.status_code in (202, 204, 404), reply.text
        except BaseException as error:
            self.failure = error


def test_members_killed_at_random_lose_nothing_double_nothing_and_harm_no_others_stream(
    fleet: Fleet, held: QdrantClient, settings: RetrieverSettings, llm_server: Neighbour
) -> None:
    client, moments = Client(fleet.retrievers), random.Random()
    client.finished(client.hand_in([text(0, 0)], "first"))  # there is something to ask about
    work = Work(client)
    work.start()
    unharmed = kills = 0
    while kills < KILLS or work.is_alive():
        victim = moments.choice([*fleet.retrievers, *fleet.workers])
        how = moments.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        other = moments.choice([one for one in fleet.retrievers if one is not victim])
        events = other.stream()
        begun = [next(events)]
        victim.end(how)
        if kills == KILLS // 2:
            begun += events  # before the store goes as well
            state.server().stop()
            state.server().start()
        victim.start()
        begun += events
        assert begun[-1] == "[DONE]"
        said = words(begun)
        assert all(word in said for word in WORDS), said
        unharmed += 1
        victim.await_open()
        kills += 1
        time.sleep(moments.uniform(0, 1))
    work.join(1800)
    assert work.failure is None, work.failure
    jobs = {job: client.finished(job) for job in work.jobs}
    for job, told in jobs.items():
        assert (told["state"], told["errors"]) == ("succeeded", []), told
        assert told["counts"]["total"] == work.jobs[job]
        assert told["counts"]["pending"] == 0
    expected = {f"s{n}": f"{n} v{int(n % 2 == 0)}" for n in range(DOCUMENTS) if n % 4}
    there = client.listed()
    assert Counter(one["source"] for one in there) == Counter(list(expected))
    assert {one["source"]: one["title"] for one in there} == expected
    await_points(held, [one["id"] for one in there for _ in range(one["chunks"])])
    for member in fleet.retrievers:
        member.end(signal.SIGTERM)
    audits = sorted(settings.data_dir.glob("audit*.jsonl"))
    verified = subprocess.run(
        [sys.executable, str(ROOT / "scripts/audit.py"), "verify", *map(str, audits)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout
    print(f"{DOCUMENTS} documents, {kills} ended, {unharmed} streams whole, {client.again} again")


def await_points(held: QdrantClient, documents: list[str]) -> None:
    """Qdrant holds the points of these documents and no others, once what broke off is swept."""
    deadline = time.monotonic() + 300
    while True:
        records, _ = held.scroll("chunks", limit=100_000)
        found = sorted((record.payload or {})["document_id"] for record in records)
        if found == sorted(documents):
            return
        assert time.monotonic() < deadline, Counter(found) - Counter(documents)
        time.sleep(1)
