"""The examples of the containers, handed to a real retriever: once, and beside nobody's."""

from pathlib import Path

import httpx2
import pytest
from rig import Api, Neighbour

from example_documents import __main__ as examples
from example_documents.settings import ExamplesSettings
from example_documents.take_in import ExamplesError, missing, take_in

BEFORE = "the examples were taken in before"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = tmp_path / "files"
    (files / "docs").mkdir(parents=True)
    (files / "docs/ports.md").write_text("# Ports\n\nThe retriever listens on port 8080.\n")
    (files / "soup.txt").write_text("The canteen serves lentil soup at noon.\n")
    return files


def sources(api: Api) -> set[str]:
    return {one["source"] for one in api.get("/v1/documents").json()["data"]}


def told(
    api: Api,
    folder: Path,
    wanted: bool,
    capsys: pytest.CaptureFixture[str],
    page: str | None = "http://127.0.0.1:8080/",
) -> list[str]:
    settings = ExamplesSettings.model_validate(
        {
            "wanted": wanted,
            "folder": folder,
            "retriever_url": "http://retriever:8080",
            "api_key_file": "/run/secrets/api-key",
            "page_url": page,
            "grafana_url": "http://127.0.0.1:3000/",
            "patience": 30,
        }
    )
    examples.run(settings, api)
    return capsys.readouterr().out.splitlines()


def test_the_documents_go_in_once_and_the_last_lines_say_where_the_page_is(
    api: Api, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(api, folder, False, capsys)[0] == "no examples are wanted"
    assert sources(api) == set()

    lines = told(api, folder, True, capsys)
    assert lines[:2] == ["2 documents are in", "The stack is up."]
    assert lines[-2:] == [
        "  in a browser     http://127.0.0.1:8080/",
        "  the key for it   docker compose exec retriever cat /run/secrets/api-key",
    ]
    assert sources(api) == {"docs/ports.md", "soup.txt"}
    assert take_in(api, folder, 30) == "documents are in already"
    lines = told(api, folder, True, capsys, page=None)  # elsewhere another one says where it is
    assert lines == ["documents are in already", "The stack is up."]

    for one in api.get("/v1/documents").json()["data"]:
        api.delete(f"/v1/documents/{one['id']}")
    assert take_in(api, folder, 30) == BEFORE, "what somebody deleted does not come back"
    (folder / "new.md").write_text("Another release has another page.")
    assert take_in(api, folder, 30) == BEFORE
    assert sources(api) == set()


def test_nothing_goes_in_beside_documents_and_keys_of_people(api: Api, folder: Path) -> None:
    job = api.ingest({"text": "Mine.", "source": "mine.md"})
    assert job["state"] == "succeeded"
    assert take_in(api, folder, 30) == "documents are in already"
    assert sources(api) == {"mine.md"}

    (mine,) = api.get("/v1/documents").json()["data"]
    api.delete(f"/v1/documents/{mine['id']}")
    api.post("/v1/keys", json={"tenant": "acme", "role": "writer"}).raise_for_status()
    assert "the examples stay out" in take_in(api, folder, 30)
    assert sources(api) == set()

    api.headers["Authorization"] = "Bearer bh_wrong"
    with pytest.raises(ExamplesError, match="the retriever says 401"):
        take_in(api, folder, 30)


def test_what_fails_is_said_with_its_reason(api: Api, llm_server: Neighbour, folder: Path) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    with pytest.raises(ExamplesError, match="1 of 3 documents failed: "):
        take_in(api, folder, 30)
    assert sources(api) == {"docs/ports.md", "soup.txt"}

    llm_server.stop()
    while not (down := missing(api, 0)):  # readiness is kept for a second
        pass
    assert [one.split(": ")[0] for one in down] == ["llm"]


def test_a_retriever_that_does_not_answer_is_what_is_missing() -> None:
    with httpx2.Client(base_url="http://127.0.0.1:9") as nobody:
        (words,) = missing(nobody, 0)
    assert words.startswith("retriever: ")
