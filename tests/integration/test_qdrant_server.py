"""The retriever on real HTTP beside a Qdrant server that fails: named, in words, waited for."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient
from qdrant_server import KEY, serving_qdrant
from qdrant_standin import DISK_FULL, Standin
from rig import PORTS, Api, running

from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"


@pytest.fixture
def held() -> QdrantClient:
    """What the server holds, whatever becomes of its process."""
    return QdrantClient(":memory:")


@pytest.fixture
def qdrant(held: QdrantClient) -> Iterator[Standin]:
    with serving_qdrant(held) as standin:
        yield standin


@pytest.fixture
def api(settings: RetrieverSettings, qdrant: Standin, tmp_path: Path) -> Iterator[Api]:
    key = tmp_path / "qdrant-key"
    key.write_text(KEY)
    beside = {
        "qdrant_url": f"http://127.0.0.1:{qdrant.port}",
        "qdrant_api_key_file": key,
        "qdrant_read_timeout": 60,
        "qdrant_write_timeout": 60,
    }
    with running(RetrieverSettings.model_validate(settings.model_dump() | beside)) as api:
        yield api


def test_with_a_stopped_server_every_call_that_needs_it_is_503_and_names_it(
    api: Api, qdrant: Standin, held: QdrantClient
) -> None:
    api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
    (document,) = api.get("/v1/documents").json()["data"]
    qdrant.stop()

    for reply in (
        api.post("/v1/search", json={"query": QUESTION}),
        api.ask(QUESTION),
        api.ask(QUESTION, stream=True),
    ):
        assert reply.status_code == 503, reply.text
        error = reply.json()["error"]
        assert (error["type"], error["part"]) == ("unavailable", "qdrant")
        assert error["message"] == "Qdrant does not answer"
    ready = api.until_ready(lambda one: one["status"] == "unavailable")
    assert ready.status_code == 503
    assert ready.json()["parts"]["qdrant"]["detail"] == "Qdrant does not answer"
    assert api.get("/v1/documents").status_code == 200
    assert api.text(document["id"]) == PORTS

    with serving_qdrant(held, address=f"127.0.0.1:{qdrant.port}"):
        while api.get("/readyz").status_code != 200:
            pass
        assert api.post("/v1/search", json={"query": QUESTION}).json()["results"]


def test_recovery_mode_is_a_503_with_its_reason_until_it_is_over(api: Api, qdrant: Standin) -> None:
    api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
    qdrant.faults.everything = "Failed to Get Info,  Out of memory at the last start"
    ready = api.until_ready(lambda one: one["status"] == "unavailable")
    assert ready.status_code == 503
    told = "Qdrant fails: Failed to Get Info,  Out of memory at the last start"
    assert ready.json()["parts"]["qdrant"] == {"state": "down", "detail": told}
    qdrant.faults.everything = ""
    assert api.until_ready(lambda one: one["status"] == "ready").status_code == 200


def until(api: Api, wanted: Callable[[dict[str, Any]], bool], path: str) -> dict[str, Any]:
    """The answer as soon as it is as wanted."""
    while True:
        answer: dict[str, Any] = api.get(path).json()
        if wanted(answer):
            return answer
        time.sleep(0.05)


def test_a_full_disk_is_waited_for_in_words_and_no_document_is_given_up(
    api: Api, qdrant: Standin, held: QdrantClient
) -> None:
    api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
    (document,) = api.get("/v1/documents").json()["data"]
    qdrant.faults.writes = DISK_FULL

    texts = [{"text": f"Canary number {n} sings.", "source": f"{n}.md"} for n in range(20)]
    job = api.post("/v1/documents", json={"documents": texts}).json()
    told = "the index's disk is full"
    waiting = until(api, lambda one: one["waiting"] == told, f"/v1/jobs/{job['id']}")
    assert waiting["counts"]["failed"] == 0 and waiting["counts"]["pending"] == 20
    ready = api.until_ready(lambda one: one["parts"]["ingest"].get("detail") == told)
    assert ready.status_code == 200 and ready.json()["status"] == "degraded"
    assert ready.json()["parts"]["ingest"]["state"] == "down"
    assert ready.json()["parts"]["qdrant"]["state"] == "up"
    assert api.post("/v1/search", json={"query": QUESTION}).json()["results"]

    assert api.delete(f"/v1/documents/{document['id']}").status_code == 202
    assert api.get(f"/v1/documents/{document['id']}").status_code == 404
    assert api.post("/v1/search", json={"query": QUESTION}).json()["results"] == []
    assert held.count("chunks").count > 0

    qdrant.faults.writes = ""
    done = api.finished(job["id"])
    assert done["state"] == "succeeded" and done["counts"]["added"] == 20, done
    assert done["waiting"] is None
    until(api, lambda one: one["status"] == "ready", "/readyz")
    while held.count("chunks").count != 20:  # what the deletion left is swept
        time.sleep(0.05)


def test_a_job_that_waits_can_be_cancelled_and_lets_the_next_one_through(
    api: Api, qdrant: Standin, held: QdrantClient
) -> None:
    qdrant.faults.writes = DISK_FULL
    texts = [{"text": f"Canary number {n} sings.", "source": f"{n}.md"} for n in range(5)]
    job = api.post("/v1/documents", json={"documents": texts}).json()
    until(api, lambda one: one["waiting"] is not None, f"/v1/jobs/{job['id']}")
    assert api.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    qdrant.faults.writes = ""
    later = api.ingest({"text": PORTS, "source": "ports.md"})
    assert later["state"] == "succeeded"
    assert [one["source"] for one in api.get("/v1/documents").json()["data"]] == ["ports.md"]
    while held.count("chunks").count != 1:
        time.sleep(0.05)
