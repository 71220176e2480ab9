"""Documents in, listed, read, changed and deleted over HTTP."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rig import KEY, PORTS, SOUP, Api, Neighbour, running
from serving import free_port
from state import rows

from embedding.backend import DummyBackend
from retriever.settings import RetrieverSettings

EXAMPLES = Path(__file__).parents[2] / "examples" / "documents"


def test_files_of_every_format_go_in_and_their_chunks_are_exact(api: Api) -> None:
    files = [("files", (path.name, path.read_bytes())) for path in sorted(EXAMPLES.iterdir())]
    reply = api.post("/v1/documents", files=files)
    assert reply.status_code == 202
    assert reply.headers["Location"] == f"/v1/jobs/{reply.json()['id']}"
    job = api.finished(reply.json()["id"])
    assert (job["state"], job["counts"]["added"], job["errors"]) == ("succeeded", len(files), [])
    listed = api.get("/v1/documents").json()["data"]
    assert {one["source"] for one in listed} == {path.name for path in EXAMPLES.iterdir()}
    assert sum(one["chunks"] for one in listed) == job["counts"]["chunks"]
    for query in ("backup retention", "incident cause", "statement timeout"):
        for hit in api.post("/v1/search", json={"query": query}).json()["results"]:
            assert api.text(hit["document_id"])[hit["start"] : hit["end"]] == hit["text"]
            assert (hit["page"] is not None) == hit["source"].endswith(".pdf")


@pytest.mark.parametrize(
    "text", [PORTS, "a\r\nb\r\n", "\ufeffmark", "nul \x00 inside", "שלום עולם", "😀" * 500, " x "]
)
def test_a_text_is_kept_as_it_is(api: Api, text: str) -> None:
    api.ingest({"text": text, "title": "T", "source": "s"})
    (document,) = api.get("/v1/documents").json()["data"]
    reply = api.get(f"/v1/documents/{document['id']}/text")
    assert reply.content.decode() == text
    assert document["characters"] == len(text)


def test_the_same_twice_is_a_no_op_and_says_so(api: Api) -> None:
    document = {"text": SOUP, "source": "soup"}
    assert api.ingest(document)["counts"]["added"] == 1
    assert api.ingest(document)["counts"]["unchanged"] == 1
    assert len(api.get("/v1/documents").json()["data"]) == 1


def test_a_change_takes_the_place_of_what_had_its_source(api: Api) -> None:
    api.ingest({"text": "Old soup.", "source": "soup"})
    old = api.get("/v1/documents").json()["data"][0]["id"]
    assert api.ingest({"text": "New soup.", "source": "soup"})["counts"]["replaced"] == 1
    assert api.get(f"/v1/documents/{old}").status_code == 404
    results = api.post("/v1/search", json={"query": "soup"}).json()["results"]
    assert [hit["text"] for hit in results] == ["New soup."]


def test_a_deleted_document_is_gone_from_every_call(filled: Api) -> None:
    document = filled.get("/v1/documents").json()["data"][0]
    path = f"/v1/documents/{document['id']}"
    assert filled.get(path).json() == document
    assert filled.delete(path).status_code == 204
    for call in (filled.get(path), filled.get(path + "/text"), filled.delete(path)):
        assert call.status_code == 404
    results = filled.post("/v1/search", json={"query": "port soup"}).json()["results"]
    assert document["id"] not in {hit["document_id"] for hit in results}


def test_bad_documents_are_named_and_the_good_ones_go_in(api: Api) -> None:
    files = [
        ("files", ("good.md", b"# Good\n\nWords.")),
        ("files", ("../../etc/empty.txt", b"")),
        ("files", ("broken.pdf", b"%PDF-1.7 nothing")),
        ("files", ("picture.png", b"\x89PNG\r\n\x1a\n")),
    ]
    job = api.finished(api.post("/v1/documents", files=files).json()["id"])
    assert (job["state"], job["counts"]["added"], job["counts"]["failed"]) == ("partial", 1, 3)
    assert {error["source"] for error in job["errors"]} == {
        "../../etc/empty.txt", "broken.pdf", "picture.png",
    }  # fmt: skip
    assert all(error["message"] for error in job["errors"])


@pytest.mark.parametrize(
    ("content_type", "content", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"[]", 422),
        ("application/json", b'{"documents": []}', 422),
        ("application/json", b'{"documents": [{"text": ""}]}', 422),
        ("application/json", b'{"documents": [{"text": "a", "groups": ["a b"]}]}', 422),
        ("application/json", b'{"documents": [{"text": "a", "metadata": {"a.b": 1}}]}', 422),
        ("application/json", b'{"documents": [{"text": "a", "tenant": "other"}]}', 422),
        ("application/json", b'{"documents": [{"text": "\\ud800"}]}', 400),
        ("text/plain", b"hello", 415),
        ("multipart/form-data", b"hello", 400),
        ("multipart/form-data; boundary=x", b"hello", 400),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 422),
    ],
)
def test_a_body_that_cannot_be_used_is_a_clear_error(
    api: Api, content_type: str, content: bytes, status: int
) -> None:
    reply = api.post("/v1/documents", content=content, headers={"Content-Type": content_type})
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]["message"]
    assert api.get("/v1/documents").json()["data"] == []


def test_an_idempotency_key_brings_the_first_job_back(api: Api) -> None:
    def send(text: str) -> httpx2.Response:
        body = {"documents": [{"text": text, "source": "s"}]}
        return api.post("/v1/documents", json=body, headers={"Idempotency-Key": "k"})

    first = send("one").json()["id"]
    assert send("one").json()["id"] == first
    conflict = send("two")
    assert (conflict.status_code, conflict.json()["error"]["type"]) == (409, "conflict")


def test_events_follow_a_job_and_resume(api: Api) -> None:
    documents = [{"text": f"Text {n}.", "source": f"s{n}"} for n in range(5)]
    job_id = api.post("/v1/documents", json={"documents": documents}).json()["id"]

    def follow(after: str | None = None) -> list[tuple[int, dict[str, Any]]]:
        headers = {"Last-Event-ID": after} if after else {}
        body = api.get(f"/v1/jobs/{job_id}/events", headers=headers).text
        found = []
        for block in body.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "data" in fields:
                assert fields["event"] == "job"
                found.append((int(fields["id"]), json.loads(fields["data"])))
        return found

    seen = follow()
    revisions = [revision for revision, _ in seen]
    assert revisions == sorted(set(revisions))
    assert seen[-1][1]["state"] == "succeeded"
    assert seen[-1][1]["counts"]["added"] == 5
    assert follow(str(revisions[-1])) == []
    assert [job["state"] for _, job in follow(str(revisions[-1] - 1))] == ["succeeded"]
    assert api.get("/v1/jobs/x/events").status_code == 404
    bad = api.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "x"})
    assert bad.status_code == 422


def test_a_job_accepted_without_the_embedding_service_is_done_after_a_restart(
    settings: RetrieverSettings, embedding_server: Neighbour
) -> None:
    with running(settings) as api:
        embedding_server.stop()
        body = {"documents": [{"text": SOUP, "source": "soup"}]}
        job_id = api.post("/v1/documents", json=body).json()["id"]
        assert api.get(f"/v1/jobs/{job_id}").json()["counts"]["pending"] == 1
    embedding_server.start()
    with running(settings) as api:
        assert api.finished(job_id)["counts"]["added"] == 1
        deadline = time.monotonic() + 60
        while rows(settings.database_url, "SELECT id FROM uploads"):
            assert time.monotonic() < deadline


def test_without_embedding_search_goes_on_by_words_and_says_so(
    filled: Api, embedding_server: Neighbour
) -> None:
    embedding_server.stop()
    found = filled.post("/v1/search", json={"query": "lentil soup"}).json()
    assert found["degraded"] == ["embedding"]
    assert found["results"][0]["source"] == "canteen.txt"
    assert found["results"][0]["scores"]["dense"] is None
    dense = filled.post("/v1/search", json={"query": "soup", "mode": "dense"})
    assert (dense.status_code, dense.json()["error"]["part"]) == (503, "embedding")
    ready = filled.until_ready(lambda one: one["status"] == "degraded").json()
    assert (ready["status"], ready["parts"]["embedding"]["state"]) == ("degraded", "down")


def test_a_reranker_orders_what_was_found(filled: Api) -> None:
    # The hashing backend reranks by shared words.
    body = {"query": "a bowl of lentil soup", "mode": "dense", "rerank": True}
    ranked = filled.post("/v1/search", json=body).json()
    assert ranked["degraded"] == []
    assert ranked["results"][0]["source"] == "canteen.txt"
    scores = [hit["scores"]["rerank"] for hit in ranked["results"]]
    assert scores == sorted(scores, reverse=True)
    assert ranked["results"][0]["score"] == scores[0]


def test_a_missing_reranker_is_reported_and_the_order_stays(
    filled: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DummyBackend, "reranks", False)
    plain = filled.post("/v1/search", json={"query": "port"}).json()
    unranked = filled.post("/v1/search", json={"query": "port", "rerank": True}).json()
    assert (plain["degraded"], unranked["degraded"]) == ([], ["reranker"])
    assert unranked["results"] == plain["results"]


def test_pages_of_documents_follow_their_cursor(api: Api) -> None:
    api.ingest(*({"text": f"Text {n}.", "source": f"s{n}"} for n in range(5)))
    first = api.get("/v1/documents?limit=3").json()
    second = api.get("/v1/documents", params={"cursor": first["next_cursor"]}).json()
    assert [len(first["data"]), len(second["data"]), second["next_cursor"]] == [3, 2, None]
    assert api.get("/v1/documents?cursor=nonsense").status_code == 422
    assert api.get("/v1/documents?limit=0").status_code == 422


def test_filters_by_metadata_reach_searches_answers_and_the_list(api: Api) -> None:
    api.ingest(
        {"text": PORTS, "source": "old", "metadata": {"at": "2023-05-01", "team": ["ops", "dev"]}},
        {"text": PORTS + " ", "source": "new", "metadata": {"at": "2024-05-01", "team": None}},
        {"text": SOUP, "source": "none"},
    )
    asked: list[tuple[dict[str, Any], set[str]]] = [
        ({"at": {"gte": "2024-01-01"}}, {"new"}),
        ({"at": {"lt": "2024-01-01"}, "team": "dev"}, {"old"}),
        ({"at": {"exists": True}, "not": {"team": {"exists": True}}}, {"new"}),
        ({"at": {"exists": False}}, {"none"}),
    ]
    for filters, wanted in asked:
        found = api.post("/v1/search", json={"query": "port", "filters": filters}).json()
        assert {one["source"] for one in found["results"]} == wanted, filters
        listed = api.get("/v1/documents", params={"filters": json.dumps(filters)}).json()
        assert {one["source"] for one in listed["data"]} == wanted, filters
        reply = api.ask("Which port does the retriever listen on?", rag={"filters": filters})
        assert {one["source"] for one in reply.json()["citations"]} <= wanted, filters
    wrong = {"at": {"gte": "soon"}}
    for reply in (
        api.post("/v1/search", json={"query": "port", "filters": wrong}),
        api.get("/v1/documents", params={"filters": json.dumps(wrong)}),
        api.ask("Which port?", rag={"filters": wrong}),
    ):
        assert reply.status_code == 422
        assert "filters.at.gte: 'soon'" in reply.json()["error"]["message"]
    for text in ("[]", "{", '"x"', '{"a": NaN}', '{"a": "\\ud800"}', "[" * 5000):
        reply = api.get("/v1/documents", params={"filters": text})
        assert (reply.status_code, "filters: " in reply.text) == (422, True), text[:20]


def test_an_empty_title_or_source_is_none(api: Api) -> None:
    api.ingest(
        {"text": "Soup at noon.", "title": "", "source": "a"},
        {"text": "Soup at one.", "title": " \n", "source": ""},
        {"text": "Soup at two.", "title": "Soup", "source": " "},
    )
    listed = {one["source"]: one["title"] for one in api.get("/v1/documents").json()["data"]}
    assert listed.pop("a").strip()
    assert listed.pop("Soup") == "Soup"
    ((source, title),) = listed.items()
    assert source.startswith("text:")
    assert title.strip()


@pytest.mark.parametrize(
    "body",
    [
        {"query": ""},
        {"query": " \n"},
        {"query": "x", "top_k": 101},
        {"query": "x", "mode": "both"},
        {"query": "x", "filters": {"source": []}},
        {"query": "x", "surprise": 1},
        {"query": 5},
        {"query": "x" * 8001},
    ],
)
def test_a_search_that_makes_no_sense_is_422(filled: Api, body: dict[str, Any]) -> None:
    reply = filled.post("/v1/search", json=body)
    assert (reply.status_code, reply.json()["error"]["type"]) == (422, "invalid_value")


@pytest.mark.parametrize("key", [None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", "Bearer é"])
def test_without_the_right_key_every_call_is_401(api: Api, key: str | None) -> None:
    headers = {} if key is None else {b"Authorization": key.encode()}
    with httpx2.Client(base_url=api.base_url, headers=headers, timeout=60) as stranger:
        for method, path in [
            ("GET", "/v1/documents"),
            ("POST", "/v1/documents"),
            ("GET", "/v1/documents/x"),
            ("GET", "/v1/documents/x/text"),
            ("DELETE", "/v1/documents/x"),
            ("GET", "/v1/jobs/x"),
            ("GET", "/v1/jobs/x/events"),
            ("GET", "/v1/models"),
        ]:
            reply = stranger.request(method, path)
            assert reply.status_code == 401, (method, path)
            assert reply.json()["error"]["type"] == "unauthenticated"
        for path in ("/v1/search", "/v1/chat/completions", "/v1/feedback"):
            assert stranger.post(path, json={}).status_code in (401, 422), path
        search = stranger.post("/v1/search", json={"query": "x"})
        assert search.status_code == 401
        assert stranger.get("/healthz").status_code == 200


def test_what_is_not_there_is_404_and_a_wrong_method_405(api: Api) -> None:
    for path in ("/v1/documents/x", "/v1/documents/x/text", "/v1/jobs/x", "/v2"):
        assert api.get(path).json()["error"]["type"] == "not_found"
    assert api.put("/v1/search").status_code == 405


def test_a_body_over_the_limit_is_413_announced_or_not(settings: RetrieverSettings) -> None:
    small = settings.model_copy(update={"max_body_bytes": 1000})
    with running(small) as api:
        assert api.post("/v1/search", content=b"x" * 2000).status_code == 413
        chunked = api.post("/v1/search", content=(b"x" * 100 for _ in range(20)))
        assert (chunked.status_code, chunked.json()["error"]["type"]) == (413, "too_large")


def test_a_request_id_comes_back_and_a_hostile_one_does_not(api: Api) -> None:
    assert api.get("/healthz", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    made = api.get("/healthz", headers={"X-Request-ID": 'x" onload=1'}).headers["X-Request-ID"]
    assert len(made) == 32


def test_two_threads_can_ask_while_documents_go_in(api: Api) -> None:
    statuses: list[int] = []

    def search() -> None:
        for _ in range(10):
            statuses.append(api.post("/v1/search", json={"query": "text"}).status_code)

    readers = [threading.Thread(target=search) for _ in range(2)]
    for reader in readers:
        reader.start()
    job = api.ingest(*({"text": f"Text {n}.", "source": f"s{n}"} for n in range(40)))
    for reader in readers:
        reader.join()
    assert (job["counts"]["added"], set(statuses)) == (40, {200})


def test_the_openapi_document_shows_real_examples(api: Api) -> None:
    schema = api.get("/openapi.json").json()
    assert schema["paths"]["/v1/documents"]["post"]["requestBody"]["content"].keys() == {
        "multipart/form-data", "application/json",
    }  # fmt: skip
    assert schema["components"]["schemas"]["ChatRequest"]["examples"]
    assert "$defs" not in json.dumps(schema)
    assert api.get("/docs").status_code == 200


def test_another_embedding_model_is_refused_with_one_clear_line(
    settings: RetrieverSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(settings) as api:
        api.ingest({"text": SOUP, "source": "soup"})
    monkeypatch.setattr(DummyBackend, "revision", "2")
    environment = {
        **os.environ,
        "RETRIEVER_PORT": str(free_port()),
        "RETRIEVER_DATA_DIR": str(settings.data_dir),
        "RETRIEVER_DATABASE_URL": settings.database_url,
        "RETRIEVER_API_KEY_FILE": str(settings.api_key_file),
        "RETRIEVER_EMBEDDING_URL": str(settings.embedding_url),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "retriever"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "revision '1', now '2'" in ended.stderr


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("RETRIEVER_PORT", "http", "RETRIEVER_PORT"),
        ("RETRIEVER_LANGUAGE", "klingon", "no stemmer"),
        ("RETRIEVER_CHUNK_OVERLAP_TOKENS", "300", "must be below RETRIEVER_CHUNK_TOKENS"),
        ("RETRIEVER_API_KEY_FILE", "missing", "cannot read the secret file"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line_at_start(
    tmp_path: Path, name: str, value: str, told: str
) -> None:
    environment = {**os.environ, "RETRIEVER_DATA_DIR": str(tmp_path), name: value}
    ended = subprocess.run(
        [sys.executable, "-m", "retriever"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert told in ended.stderr
