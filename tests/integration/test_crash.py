"""`kill -9` of the retriever at any moment loses nothing and doubles nothing."""

import random
import threading
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from crash import RetrieverProcess, stored_points
from rig import Api
from state import rows

from retriever.settings import RetrieverSettings

pytestmark = pytest.mark.timeout(600)  # a start takes seconds, on a crowded machine many
KILLS = 4


def text(n: int, version: int = 0) -> dict[str, Any]:
    words = f"Document {n} in version {version}. " * (1 + n % 12) * 5
    return {"text": words, "source": f"s{n}", "title": f"Document {n}"}


def kill_at_progress(process: RetrieverProcess, api: Api, job_id: str, done: int) -> None:
    """Kill the retriever as soon as `done` documents of the job have their outcome."""
    with suppress(httpx2.TransportError):
        while True:
            counts = api.get(f"/v1/jobs/{job_id}").json()["counts"]
            if counts["total"] - counts["pending"] >= done:
                break
    process.kill()


def listed(api: Api) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = api.get("/v1/documents?limit=1000").json()["data"]
    return documents


def expected_points(documents: list[dict[str, Any]]) -> list[str]:
    return sorted(one["id"] for one in documents for _ in range(one["chunks"]))


def test_a_job_of_500_documents_survives_kills_at_random_moments(
    settings: RetrieverSettings,
) -> None:
    process, moments = RetrieverProcess(settings), random.Random()
    with process.started() as api:
        reply = api.post("/v1/documents", json={"documents": [text(n) for n in range(500)]})
        assert reply.status_code == 202, reply.text
        job_id = reply.json()["id"]
        kill_at_progress(process, api, job_id, moments.randint(0, 60))
    for kill in range(1, KILLS):
        with process.started() as api:
            kill_at_progress(process, api, job_id, moments.randint(kill * 100, kill * 100 + 90))
    with process.started() as api:
        job = api.finished(job_id)
        documents = listed(api)
        assert (job["state"], job["errors"]) == ("succeeded", [])
        assert job["counts"]["added"] == 500
        assert job["counts"]["chunks"] == sum(one["chunks"] for one in documents)
        assert sorted(one["source"] for one in documents) == sorted(f"s{n}" for n in range(500))
    assert stored_points(settings.data_dir) == expected_points(documents)
    # A kill between a commit and the removal leaves one, for the sweep an hour later.
    assert (
        rows(
            settings.database_url,
            "SELECT 1 FROM uploads JOIN job_items ON job_items.upload = uploads.id"
            " WHERE outcome IS NULL",
        )
        == []
    )


def test_a_kill_while_documents_are_replaced_leaves_the_old_or_the_new(
    settings: RetrieverSettings,
) -> None:
    process, moments = RetrieverProcess(settings), random.Random()
    with process.started() as api:
        api.ingest(*(text(n) for n in range(60)))
    for version in (1, 2):
        with process.started() as api:
            body = {"documents": [text(n, version) for n in range(60)]}
            job_id = api.post("/v1/documents", json=body).json()["id"]
            kill_at_progress(process, api, job_id, moments.randint(1, 50))
        with process.started() as api:
            assert sorted(one["source"] for one in listed(api)) == sorted(
                f"s{n}" for n in range(60)
            )
            job = api.finished(job_id)
            assert (job["state"], job["counts"]["replaced"]) == ("succeeded", 60)
            documents = listed(api)
            assert all(f"version {version}" in api.text(one["id"]) for one in documents[:5])
        assert stored_points(settings.data_dir) == expected_points(documents)


def test_a_kill_while_documents_are_deleted_deletes_them_or_not(
    settings: RetrieverSettings,
) -> None:
    process, moments = RetrieverProcess(settings), random.Random()
    with process.started() as api:
        api.ingest(*(text(n) for n in range(60)))
        documents = listed(api)
        killer = threading.Timer(moments.uniform(0.05, 0.5), process.kill)
        killer.start()
        answered = []
        with suppress(httpx2.TransportError):
            for one in documents:
                assert api.delete(f"/v1/documents/{one['id']}").status_code == 204
                answered.append(one["id"])
        killer.join()
    with process.started() as api:
        left = listed(api)
        assert not {one["id"] for one in left} & set(answered)
    assert stored_points(settings.data_dir) == expected_points(left)
    assert rows(settings.database_url, "SELECT count(*) FROM documents") == [(len(left),)]
