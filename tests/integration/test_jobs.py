"""Jobs over HTTP: cancelled, listed, followed over broken connections, accepted whole or not."""

import json
import socket
import time
from typing import Any

import pytest
from rig import KEY, Api, Neighbour, running
from state import execute, rows

from retriever.settings import RetrieverSettings


def texts(count: int) -> list[dict[str, str]]:
    return [{"text": f"Text {n}.", "source": f"s{n}"} for n in range(count)]


def hand_in(api: Api, count: int) -> str:
    job_id: str = api.post("/v1/documents", json={"documents": texts(count)}).json()["id"]
    return job_id


def kept(settings: RetrieverSettings) -> list[tuple[object, ...]]:
    """The uploads, once those had time to go that are done with."""
    deadline = time.monotonic() + 60
    while left := rows(settings.database_url, "SELECT id FROM uploads"):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return left


def test_a_cancelled_job_stays_cancelled_and_what_is_in_stays_in(
    settings: RetrieverSettings, embedding_server: Neighbour
) -> None:
    with running(settings) as api:
        api.ingest({"text": "In before.", "source": "before"})
        embedding_server.stop()  # what is handed in now waits
        job_id = hand_in(api, 20)
        cancelled = api.post(f"/v1/jobs/{job_id}/cancel")
        assert cancelled.status_code == 200, cancelled.text
        assert cancelled.json()["state"] == "cancelled"
        assert cancelled.json()["counts"]["cancelled"] == 20
        assert kept(settings) == []
        assert api.post(f"/v1/jobs/{job_id}/cancel").json() == cancelled.json()
        assert api.finished(job_id) == cancelled.json()
        embedding_server.start()
        later = api.ingest({"text": "In after.", "source": "after"})
        assert later["state"] == "succeeded"
        listed = api.get("/v1/documents").json()["data"]
        assert {one["source"] for one in listed} == {"before", "after"}
        assert api.get(f"/v1/jobs/{job_id}").json() == cancelled.json()


def test_a_job_that_ended_is_409_and_one_that_is_not_there_404(filled: Api) -> None:
    (job,) = filled.get("/v1/jobs").json()["data"]
    ended = filled.post(f"/v1/jobs/{job['id']}/cancel")
    assert (ended.status_code, ended.json()["error"]["type"]) == (409, "conflict")
    for method, path in (("POST", "x/cancel"), ("GET", "x/errors"), ("GET", "x")):
        assert filled.request(method, f"/v1/jobs/{path}").status_code == 404


def test_jobs_are_listed_in_pages(api: Api) -> None:
    ids = [api.ingest(document)["id"] for document in texts(3)]
    first = api.get("/v1/jobs?limit=2").json()
    second = api.get("/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in first["data"] + second["data"]] == ids[::-1]
    assert api.get("/v1/jobs?state=succeeded").json()["data"] == api.get("/v1/jobs").json()["data"]
    assert api.get("/v1/jobs?state=cancelled").json()["data"] == []
    for query in ("state=none", "limit=0", "limit=101", "cursor=x"):
        assert api.get(f"/v1/jobs?{query}").status_code == 422


def test_events_taken_up_after_every_break_miss_no_ending(api: Api) -> None:
    job_id = hand_in(api, 60)
    seen: list[dict[str, Any]] = []
    last, connections = "0", 0
    while not seen or seen[-1]["state"] != "succeeded":
        connections += 1
        path = f"/v1/jobs/{job_id}/events"
        with api.stream("GET", path, headers={"Last-Event-ID": last}) as events:
            for line in events.iter_lines():
                if line.startswith("id: "):
                    assert int(line[4:]) > int(last)
                    last = line[4:]
                if line.startswith("data: "):
                    seen.append(json.loads(line[6:]))
                    break  # the connection is lost after one event
    done = [job["counts"]["added"] for job in seen]
    assert done == sorted(done) and done[-1] == 60
    assert connections == len(seen)


@pytest.mark.parametrize("name", ["../../etc/passwd.txt", "..\\..\\boot.txt", "/etc/cron.txt"])
def test_a_name_that_climbs_is_only_a_name(
    api: Api, settings: RetrieverSettings, name: str
) -> None:
    before = set(settings.data_dir.parent.rglob("*"))
    reply = api.post("/v1/documents", files=[("files", (name, b"words"))])
    assert api.finished(reply.json()["id"])["state"] == "succeeded"
    after = set(settings.data_dir.parent.rglob("*"))
    # What the index and the audit log put down for a moment.
    transient = {"storage.sqlite-wal", "storage.sqlite-shm", "audit.head.new"}
    assert {path.name for path in after - before} <= transient


@pytest.mark.parametrize("name", ["n" * 5000, "a\x00b", " "])
def test_a_name_that_cannot_be_kept_is_refused(
    api: Api, settings: RetrieverSettings, name: str
) -> None:
    part = f'Content-Disposition: form-data; name="files"; filename="{name}"'
    body = f"--x\r\n{part}\r\n\r\nwords\r\n--x--\r\n".encode()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    reply = api.post("/v1/documents", content=body, headers=headers)
    assert reply.status_code in (400, 422), reply.text
    assert reply.json()["error"]["message"]
    assert kept(settings) == []


FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM upload_blocks) >= 2 THEN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON upload_blocks FOR EACH ROW EXECUTE FUNCTION full_disk();
"""


@pytest.mark.parametrize("as_files", [True, False])
def test_a_full_disk_is_503_and_nothing_is_half_accepted(
    api: Api, settings: RetrieverSettings, as_files: bool
) -> None:
    execute(settings.database_url, FULL)
    if as_files:
        files = [("files", (f"{n}.txt", b"words")) for n in range(4)]
        reply = api.post("/v1/documents", files=files)
    else:
        reply = api.post("/v1/documents", json={"documents": texts(4)})
    assert (reply.status_code, reply.json()["error"]["part"]) == (503, "database")
    assert reply.json()["error"]["message"] == "the document store's disk is full"
    assert kept(settings) == []
    assert api.get("/v1/jobs").json()["data"] == []
    execute(settings.database_url, "DROP TRIGGER full_disk ON upload_blocks")
    assert api.ingest(*texts(4))["state"] == "succeeded"


def test_a_client_that_leaves_halfway_through_an_upload_leaves_nothing(
    api: Api, settings: RetrieverSettings
) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port or 0)) as client:
        head = (
            f"POST /v1/documents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 30000000\r\n\r\n"
            '--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
        )
        client.sendall(head.encode() + b"words " * 1_000_000)
    assert kept(settings) == []
    assert api.get("/v1/jobs").json()["data"] == []
    assert api.get("/healthz").status_code == 200


def test_a_body_over_the_limit_is_refused_before_it_is_read(api: Api) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port or 0)) as client:
        head = (
            f"POST /v1/documents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 209715200\r\n\r\n"
        )
        client.sendall(head.encode())  # of an HTML page of 200 MB not one byte
        assert b" 413 " in client.recv(4096).split(b"\r\n")[0]


def test_the_later_of_two_documents_with_one_source_stays(api: Api) -> None:
    jobs = []
    for n in range(10):
        body = {"documents": [{"text": f"Version {n}.", "source": "same"}]}
        jobs.append(api.post("/v1/documents", json=body).json()["id"])
    counts = [api.finished(job)["counts"] for job in jobs]
    assert [one["added"] for one in counts] == [1] + [0] * 9
    assert [one["replaced"] for one in counts] == [0] + [1] * 9
    (document,) = api.get("/v1/documents").json()["data"]
    assert api.text(document["id"]) == "Version 9."
