"""The retriever on real HTTP beside a Qdrant server that fails: named, in words, waited for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient
from qdrant_server import KEY, serving_qdrant
from qdrant_standin import Standin
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
        "qdrant_read_timeout": 2,
        "qdrant_write_timeout": 3,
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
    ready = api.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["parts"]["qdrant"]["detail"] == "Qdrant does not answer"
    assert api.get("/v1/documents").status_code == 200
    assert api.text(document["id"]) == PORTS

    with serving_qdrant(held, address=f"127.0.0.1:{qdrant.port}"):
        while api.get("/readyz").status_code != 200:
            pass
        assert api.post("/v1/search", json={"query": QUESTION}).json()["results"]
