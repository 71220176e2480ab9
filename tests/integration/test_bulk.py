"""A corpus goes in as by the API, whoever dies meanwhile, and each document of it is live once."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_runs import LIMIT, Bulk, Cluster, Gate, kill, shared_ray, until
from qdrant_client import QdrantClient
from qdrant_server import serving_qdrant
from qdrant_standin import Standin
from rig import running

from retriever.settings import RetrieverSettings

pytestmark = pytest.mark.timeout(3600)
DOCUMENTS = 120


@pytest.fixture(scope="module")
def ray() -> Iterator[Cluster]:
    with shared_ray() as cluster:
        yield cluster


@pytest.fixture
def held() -> QdrantClient:
    """What Qdrant holds."""
    return QdrantClient(":memory:", force_disable_check_same_thread=True)


@pytest.fixture
def qdrant(held: QdrantClient) -> Iterator[Standin]:
    with serving_qdrant(held) as standin:
        yield standin


@pytest.fixture
def bulk(settings: RetrieverSettings, qdrant: Standin, tmp_path: Path, ray: Cluster) -> Bulk:
    return Bulk(settings, tmp_path, qdrant.port, ray)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Documents of one chunk each, in two files."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for part in range(2):
        rows = [
            {"text": f"Ship {n} lies at berth {n % 7}.", "source": f"ships/{n}", "berth": n % 7}
            for n in range(part * DOCUMENTS // 2, (part + 1) * DOCUMENTS // 2)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{part}.jsonl").write_text(lines, "utf-8")
    return folder


def whole(bulk: Bulk, held: QdrantClient) -> None:
    """Each document is live once, and there is nothing else."""
    assert bulk.live() == {f"ships/{n}": 1 for n in range(DOCUMENTS)}
    assert bulk.rows() == DOCUMENTS
    assert held.count("chunks").count == DOCUMENTS


def test_a_corpus_goes_in_as_by_the_api_and_what_goes_from_it_goes(
    bulk: Bulk, settings: RetrieverSettings, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "ports.md").write_text("# Ports\n\nThe retriever listens on port 8080.\n")
    (corpus / "empty.md").write_text(" ")
    texts = [
        {"text": f"Pilot {n} boards at dawn.", "title": f"P{n}", "source": f"pilots/{n}", "year": n}
        for n in range(50)
    ]
    twice = {"text": "Another pilot 7.", "source": "pilots/7"}
    lines = [json.dumps(one) for one in texts] + ["{", json.dumps(twice)]
    (corpus / "pilots.jsonl").write_text("\n".join(lines), "utf-8")
    table = {"body": ["Yard one.", "Yard two."], "id": ["y1", "y2"], "text": [None, None]}
    pq.write_table(pa.table(table), corpus / "none.parquet")

    told = bulk.run(corpus, "--groups", "blue", status=1)

    assert "51 added" in told and "5 failed" in told
    reasons = {one["place"]: one["reason"] for one in bulk.failed()}
    assert reasons["pilots.jsonl, line 51"].startswith("not JSON")
    assert reasons["empty.md"] == "The document holds no text."
    assert "same source" in reasons["pilots.jsonl, line 52"]
    assert reasons["none.parquet, row 1"].startswith("text: ")
    bulk_settings = settings.model_copy(
        update=RetrieverSettings.model_validate(bulk.qdrant).model_dump(include=set(bulk.qdrant))
    )
    with running(bulk_settings) as api:
        (job,) = api.get("/v1/jobs").json()["data"]
        assert (job["state"], job["counts"]["added"], job["counts"]["failed"]) == ("partial", 51, 5)
        named = api.get(f"/v1/jobs/{job['id']}/documents?only=failed").json()["data"]
        assert {one["source"] for one in named} >= {"empty.md", "pilots/7", "pilots.jsonl, line 51"}
        hits = api.post("/v1/search", json={"query": "Pilot 31 boards", "top_k": 1}).json()
        assert hits["results"][0]["source"] == "pilots/31"

        # The same by the API is the same document.
        same = [
            {
                "text": one["text"], "title": one["title"], "source": one["source"],
                "groups": ["blue"], "metadata": {"year": one["year"]},
            }
            for one in texts
        ]  # fmt: skip
        assert api.ingest(*same)["counts"]["unchanged"] == 50
        file = {"files": ("ports.md", (corpus / "ports.md").read_bytes())}
        again = api.post("/v1/documents", files=file, data={"groups": "blue"}).json()
        assert api.finished(again["id"])["counts"]["unchanged"] == 1

        # A part that cannot be read spares what was in it; without it, what went goes.
        (corpus / "pilots.jsonl").write_text("\n".join(lines[:40]), "utf-8")
        spared = bulk.run(corpus, "--groups", "blue", "--mirror", status=1)
        assert "nothing was removed" in spared
        assert len(bulk.live()) == 51
        (corpus / "none.parquet").unlink()
        (corpus / "empty.md").unlink()
        bulk.run(corpus, "--groups", "blue", "--mirror")
        assert set(bulk.live()) == {"ports.md", *(f"pilots/{n}" for n in range(40))}
        assert api.get("/v1/documents?limit=100").json()["data"][0]["groups"] == ["blue"]


def test_a_run_whose_driver_is_killed_goes_on_where_it_was(
    bulk: Bulk, corpus: Path, qdrant: Standin, held: QdrantClient, settings: RetrieverSettings
) -> None:
    gate = qdrant.faults.before_write = Gate(after=12)
    process = bulk.start(corpus)
    until(gate.reached.is_set, process)
    before = len(bulk.live())
    assert 0 < before < DOCUMENTS
    kill(process)
    gate.open()

    told = bulk.run(corpus)

    whole(bulk, held)
    first, second = bulk.outcomes()
    assert bulk.states() == ["cancelled", "succeeded"]
    assert sum(second.values()) == DOCUMENTS
    assert second["unchanged"] >= before
    # What was in flight is done twice at most: a group of each step.
    assert first["added"] + second.get("added", 0) == DOCUMENTS, told

    again = bulk.run(corpus)
    assert f"{DOCUMENTS} unchanged" in again
    assert bulk.outcomes()[-1] == {"unchanged": DOCUMENTS}


def test_a_run_whose_workers_are_killed_goes_on(
    bulk: Bulk, corpus: Path, qdrant: Standin, held: QdrantClient, ray: Cluster
) -> None:
    gate = qdrant.faults.before_write = Gate(after=12)
    process = bulk.start(corpus)
    until(gate.reached.is_set, process)
    for step in ("Prepare", "Embed", "Publish"):
        (actor,) = ray.actors(step)
        actor.send_signal(signal.SIGKILL)
    gate.open()

    told, _ = process.communicate(timeout=LIMIT)

    assert process.returncode == 0, told
    whole(bulk, held)
    (outcomes,) = bulk.outcomes()
    assert outcomes == {"added": DOCUMENTS}, "each document is noted once"


def test_a_run_waits_for_qdrant_and_its_job_says_so(
    bulk: Bulk, corpus: Path, qdrant: Standin, held: QdrantClient, settings: RetrieverSettings
) -> None:
    gate = qdrant.faults.before_write = Gate(after=12)
    process = bulk.start(corpus)
    until(gate.reached.is_set, process)
    qdrant.stop()
    gate.open()

    def waits() -> bool:
        import state

        return state.rows(bulk.url, "SELECT waiting FROM runs") == [("Qdrant does not answer",)]

    until(waits, process)
    with serving_qdrant(held, address=f"127.0.0.1:{qdrant.port}"):
        told, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, told
        whole(bulk, held)
    assert bulk.outcomes() == [{"added": DOCUMENTS}]
    assert bulk.states() == ["succeeded"]


def test_a_run_whose_job_is_cancelled_publishes_nothing_more(
    bulk: Bulk, corpus: Path, qdrant: Standin
) -> None:
    gate = qdrant.faults.before_write = Gate(after=12)
    process = bulk.start(corpus)
    until(gate.reached.is_set, process)
    gate_open = len(bulk.live())
    import state

    state.execute(bulk.url, "UPDATE jobs SET state = 'cancelled' WHERE key_id = 'bulk'")
    gate.open()

    told, _ = process.communicate(timeout=LIMIT)

    assert process.returncode == 2, told
    assert "cancelled" in told
    assert len(bulk.live()) == gate_open


def test_a_run_that_is_told_to_stop_stops_and_the_next_one_goes_on(
    bulk: Bulk, corpus: Path, qdrant: Standin, held: QdrantClient
) -> None:
    gate = qdrant.faults.before_write = Gate(after=12)
    process = bulk.start(corpus)
    until(gate.reached.is_set, process)
    process.send_signal(signal.SIGTERM)
    gate.open()
    told, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, told
    assert "what is in stays in" in told
    assert bulk.live()
    bulk.run(corpus)
    whole(bulk, held)
    assert bulk.states() == ["cancelled", "succeeded"]


def test_ray_is_reached_by_nobody_else(ray: Cluster) -> None:
    listening = set()
    for one in (ray.process, *ray.process.children(recursive=True)):
        try:
            found = one.net_connections("inet")
        except psutil.NoSuchProcess:
            continue
        listening |= {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN}
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert oct(ray.token.stat().st_mode)[-3:] == "600"
    with socket.socket() as dashboard:
        assert dashboard.connect_ex(("127.0.0.1", 8265)) != 0

    join = f"import ray; ray.init({ray.address!r}, _temp_dir='/tmp'); print('JOINED')"
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "wrong" * 8}
    for told in ({"RAY_AUTH_MODE": "disabled"}, wrong):
        stranger = subprocess.run(
            [sys.executable, "-c", join],
            env={**ray.environment, **told, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert stranger.returncode != 0
        assert "JOINED" not in stranger.stdout
