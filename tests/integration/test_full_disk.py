"""The retriever's data folder on a real disk that fills up, or turns read-only, and is mended."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rig import PORTS, SOUP, Api, Neighbour, running
from small_disk import SmallDisk, failing_disk, small_disk

from bulkhead.errors import Unavailable
from retriever.index.collection import Stamp
from retriever.index.connect import connect
from retriever.index.vectors import Vectors
from retriever.settings import RetrieverSettings

QUESTION = "Which port does the retriever listen on?"


def on(disk: SmallDisk, settings: RetrieverSettings) -> RetrieverSettings:
    return settings.model_copy(update={"data_dir": disk.root / "data"})


def until(api: Api, wanted: Callable[[Any], bool], path: str) -> Any:
    """The answer as soon as it is as wanted."""
    deadline = time.monotonic() + 100
    while not wanted(answer := api.get(path).json()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)
    return answer


def refused(reply: httpx2.Response, part: str, words: str) -> None:
    assert reply.status_code == 503, reply.text
    error = reply.json()["error"]
    assert (error["part"], words in error["message"]) == (part, True), error


def reads_go_on(api: Api, document_id: str) -> None:
    (found,) = api.post("/v1/search", json={"query": QUESTION}).json()["results"]
    assert found["document_id"] == document_id
    assert api.text(document_id) == PORTS
    assert [one["id"] for one in api.get("/v1/documents").json()["data"]] == [document_id]
    answer = api.ask(QUESTION)
    assert answer.status_code == 200, answer.text


def test_a_full_disk_stops_changes_in_words_and_no_read_and_is_over_when_there_is_room(
    settings: RetrieverSettings, tmp_path: Path
) -> None:
    soup = {"documents": [{"text": SOUP, "source": "soup.md"}]}
    with small_disk(tmp_path / "disk", "16m") as disk, running(on(disk, settings)) as api:
        api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
        (document,) = api.get("/v1/documents").json()["data"]

        disk.fill()
        reads_go_on(api, document["id"])
        ready = until(api, lambda one: one["parts"]["audit"]["state"] == "down", "/readyz")
        assert ready["status"] == "degraded" and ready["parts"]["qdrant"]["state"] == "up"
        refused(api.post("/v1/documents", json=soup), "audit", "No space left on device")
        refused(api.delete(f"/v1/documents/{document['id']}"), "audit", "No space left on device")
        reads_go_on(api, document["id"])

        disk.free()
        until(api, lambda one: one["status"] == "ready", "/readyz")
        job = api.ingest(*soup["documents"])
        assert job["state"] == "succeeded", job
        assert api.delete(f"/v1/documents/{document['id']}").status_code == 204
        assert api.get("/v1/jobs").json()["data"][1]["counts"]["added"] == 1


def test_documents_under_way_wait_for_room_and_are_taken_in_when_there_is_some(
    settings: RetrieverSettings, embedding_server: Neighbour, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "16m") as disk, running(on(disk, settings)) as api:
        embedding_server.stop()
        texts = [{"text": f"Canary {n} sings. " * 99, "source": f"{n}.md"} for n in range(20)]
        job = api.post("/v1/documents", json={"documents": texts}).json()
        disk.fill()
        embedding_server.start()

        def full(one: Any) -> bool:
            return "disk is full" in (one["waiting"] or "")

        waiting = until(api, full, f"/v1/jobs/{job['id']}")
        ready = until(api, lambda one: one["parts"]["writes"]["state"] == "down", "/readyz")
        assert ready["parts"]["writes"]["detail"] == "the index's disk is full"
        assert waiting["counts"]["failed"] == 0 and waiting["counts"]["pending"] == 20

        disk.free()
        done = api.finished(job["id"])
        assert done["state"] == "succeeded" and done["counts"]["added"] == 20, done


def test_a_disk_that_turns_read_only_stops_changes_in_words_and_no_read(
    settings: RetrieverSettings, tmp_path: Path
) -> None:
    soup = {"documents": [{"text": SOUP, "source": "soup.md"}]}
    with failing_disk(tmp_path / "disk", "32m") as disk, running(on(disk, settings)) as api:
        api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
        (document,) = api.get("/v1/documents").json()["data"]

        disk.fail()
        reads_go_on(api, document["id"])
        until(api, lambda one: one["parts"]["audit"]["state"] == "down", "/readyz")
        refused(api.post("/v1/documents", json=soup), "audit", "audit log cannot be written")
        refused(api.delete(f"/v1/documents/{document['id']}"), "audit", "audit log cannot be")
        reads_go_on(api, document["id"])


def test_a_start_on_a_disk_that_takes_no_write_ends_with_one_line(
    settings: RetrieverSettings, tmp_path: Path
) -> None:
    settings.api_key_file.chmod(0o600)
    told = {
        "RETRIEVER_DATA_DIR": str(tmp_path / "disk" / "data"),
        "RETRIEVER_API_KEY_FILE": str(settings.api_key_file),
        "RETRIEVER_TOOL_SERVERS_FILE": "/dev/null",
    }

    def start() -> str:
        command = [sys.executable, "-m", "retriever"]
        environment = {**os.environ, **told}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ended.returncode == 1, ended.stderr
        return ended.stderr

    with small_disk(tmp_path / "disk", "1m") as disk:
        (disk.root / "data").mkdir()
        disk.fill()
        assert start() == "retriever: the data folder's disk is full\n"
        disk.free()
        disk.forbid()
        assert start() == "retriever: the data folder's disk is read-only\n"


async def test_embedded_qdrant_learns_by_a_deletion_of_nothing_whether_its_disk_takes_writes(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        connection = connect(None, disk.root / "qdrant")
        vectors = Vectors(connection, "chunks")
        await vectors.ensure(Stamp("model", "1", 3, "bm25"))
        await vectors.delete(["nowhere"])
        disk.fill()
        for _ in range(2):
            with pytest.raises(Unavailable, match="the index's disk is full"):
                await vectors.delete(["nowhere"])
            assert vectors.refusal == "the index's disk is full"
        disk.free()
        await vectors.delete(["nowhere"])
        assert vectors.refusal is None
        await connection.close()
