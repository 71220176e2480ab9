"""Files as people send them: their names, what they replace, what is lost in reading them."""

import hashlib
import unicodedata
from pathlib import Path
from typing import Any

import httpx2
from rig import SOUP, Api, parsing, running

from parser.parse import VERSION
from retriever.settings import RetrieverSettings

NAME = "Übergabe.md"


def send(api: Api, *files: tuple[str, bytes]) -> httpx2.Response:
    return api.post("/v1/documents", files=[("files", one) for one in files])


def sent(api: Api, *files: tuple[str, bytes]) -> dict[str, Any]:
    reply = send(api, *files)
    assert reply.status_code == 202, reply.text
    return api.finished(reply.json()["id"])


def test_what_was_lost_in_reading_a_file_stands_on_it_and_in_its_job(api: Api) -> None:
    bad = "Der Kai ist für Größen ab 7 m.".encode() * 20 + b"\xff"
    job = sent(api, ("bad.txt", bad), ("good.txt", b"The quay."))
    (document, _) = api.get("/v1/documents").json()["data"]
    if document["source"] != "bad.txt":
        (_, document) = api.get("/v1/documents").json()["data"]
    (warning,) = document["warnings"]
    assert (warning["code"], warning["pages"]) == ("bad_bytes", [])
    assert warning["message"]
    of_job = {"source": "bad.txt", "document_id": document["id"], **warning}
    assert (job["counts"]["warned"], job["warnings"]) == (1, [of_job])
    page = api.get(f"/v1/jobs/{job['id']}/documents", params={"limit": 1}).json()
    assert page["data"] == [
        {
            "source": "bad.txt",
            "outcome": "added",
            "document_id": document["id"],
            "message": None,
            "warnings": [warning],
            "replaced": [],
        }
    ]
    assert page["next_cursor"] == 1
    only = api.get(f"/v1/jobs/{job['id']}/documents", params={"only": "failed"}).json()
    assert only["data"] == []
    again = sent(api, ("bad.txt", bad))
    assert (again["counts"]["unchanged"], again["warnings"]) == (1, [of_job])


def test_what_a_file_says_of_itself_stands_apart_from_what_its_sender_says(api: Api) -> None:
    text = (
        b"---\ntitle: Boarding\nauthor: Ada Brandt\nlevel: 3\n---\n\nThe pilot boards at the buoy."
    )
    reply = api.post(
        "/v1/documents", files=[("files", ("a.md", text))], data={"metadata": '{"level": 7}'}
    )
    api.finished(reply.json()["id"])
    (document,) = api.get("/v1/documents").json()["data"]
    assert (document["title"], document["metadata"]) == ("Boarding", {"level": 7})
    assert document["file_metadata"] == {"author": "Ada Brandt", "level": 3}

    def found(**filters: object) -> int:
        reply = api.post("/v1/search", json={"query": "pilot", "filters": filters})
        return len(reply.json()["results"])

    assert found(**{"file_metadata.author": "Ada Brandt", "level": 7}) == 1
    assert found(**{"file_metadata.level": 7}) == found(author="Ada Brandt") == 0


def test_two_different_files_of_one_name_are_a_conflict_within_a_request(api: Api) -> None:
    reply = send(api, ("README.md", b"# Cranes"), ("README.md", b"# Gates"))
    assert (reply.status_code, reply.json()["error"]["type"]) == (409, "conflict")
    assert "'README.md'" in reply.json()["error"]["message"]
    decomposed = unicodedata.normalize("NFD", NAME)
    assert send(api, (NAME, b"# One"), (decomposed, b"# Two")).status_code == 409
    texts = [{"text": "One.", "title": "Notes"}, {"text": "Two.", "title": "Notes"}]
    assert api.post("/v1/documents", json={"documents": texts}).status_code == 409
    assert api.get("/v1/documents").json()["data"] == []
    twice = sent(api, ("README.md", b"# Cranes"), ("README.md", b"# Cranes"))
    assert (twice["counts"]["added"], twice["counts"]["unchanged"]) == (1, 1)
    folders = sent(api, ("a/README.md", b"# Cranes"), ("b/README.md", b"# Gates"))
    assert folders["counts"]["added"] == 2


def test_a_job_says_what_it_replaced_and_a_client_can_ask_before(api: Api) -> None:
    before = sent(api, (NAME, b"# Old\n\nThe old words."), ("other.md", b"# Other"))
    assert before["replaced"] == []
    decomposed = unicodedata.normalize("NFD", NAME)
    asked = api.get("/v1/documents", params={"source": [decomposed, "new.md"]}).json()["data"]
    (old,) = asked
    assert old["source"] == NAME
    assert old["sha256"] == hashlib.sha256(b"# Old\n\nThe old words.").hexdigest()
    job = sent(api, (decomposed, b"# New\n\nThe new words."))
    (new,) = api.get("/v1/documents", params={"source": NAME}).json()["data"]
    former = {key: old[key] for key in ("id", "title", "created_at")}
    assert job["replaced"] == [{"source": NAME, "document_id": new["id"], "former": [former]}]
    assert len(api.get("/v1/documents").json()["data"]) == 2
    assert api.get("/v1/documents", params={"source": ""}).json()["data"] == []


def test_a_part_that_has_no_plain_filename_is_told(api: Api) -> None:
    body = (
        "--x\r\nContent-Disposition: form-data; name=\"files\"; filename*=UTF-8''a.md\r\n\r\n# A"
        '\r\n--x\r\nContent-Disposition: form-data; name="files"; filename="b.md"\r\n\r\n# B'
        "\r\n--x--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    reply = api.post("/v1/documents", content=body.encode(), headers=headers)
    assert reply.status_code == 422
    assert "filename" in reply.json()["error"]["message"]


def test_the_same_bytes_under_another_parser_are_read_anew(
    settings: RetrieverSettings, tmp_path: Path
) -> None:
    (tmp_path / "xyz.traineddata").touch()  # another language is another parser
    own = settings.model_copy(update={"parser_sockets": tmp_path / "p"})
    with running(own) as api:
        with parsing(own.parser_sockets, ocr_languages=""):
            assert sent(api, ("a.md", b"# Cranes"))["counts"]["added"] == 1
            assert sent(api, ("a.md", b"# Cranes"))["counts"]["unchanged"] == 1
            api.ingest({"text": SOUP, "source": "soup"})
        with parsing(own.parser_sockets, ocr_languages="xyz", tessdata=tmp_path):
            assert sent(api, ("a.md", b"# Cranes"))["counts"]["replaced"] == 1
            assert api.ingest({"text": SOUP, "source": "soup"})["counts"]["unchanged"] == 1
        parsers = {one["source"]: one["parser"] for one in api.get("/v1/documents").json()["data"]}
        assert parsers == {"a.md": f"{VERSION}+xyz", "soup": None}


def test_files_that_wait_for_the_parser_hold_up_nothing_else(
    settings: RetrieverSettings, tmp_path: Path
) -> None:
    own = settings.model_copy(update={"parser_sockets": tmp_path / "p"})
    with running(own) as api:
        files = [(f"{n}.md", f"# Number {n}".encode()) for n in range(2 * own.documents_at_once)]
        waiting = send(api, *files).json()["id"]
        assert api.ingest({"text": SOUP, "source": "soup"})["counts"]["added"] == 1
        told = api.get(f"/v1/jobs/{waiting}").json()
        assert (told["counts"]["pending"], told["waiting"]) == (
            len(files),
            "the parser does not answer",
        )
        dropped = send(api, ("dropped.md", b"# Dropped")).json()["id"]
        api.post(f"/v1/jobs/{dropped}/cancel")
        with parsing(own.parser_sockets):
            assert api.finished(waiting)["counts"]["added"] == len(files)
        assert api.get("/v1/documents", params={"source": "dropped.md"}).json()["data"] == []
