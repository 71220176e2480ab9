"""Fixtures of the retriever on real HTTP, for conftests; what they are made of is in `rig`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import KEY, PORTS, SOUP, Api, Neighbour, parsing, running, tokenizer_json
from scripted_llm import ScriptedLLM
from sqlalchemy import URL
from state import told

from embedding.backend import DummyBackend
from embedding.main import create as create_embedding
from embedding.settings import EmbeddingSettings
from retriever.settings import RetrieverSettings


@pytest.fixture
def llm() -> ScriptedLLM:
    return ScriptedLLM()


@pytest.fixture
def llm_server(llm: ScriptedLLM) -> Iterator[Neighbour]:
    neighbour = Neighbour(lambda: llm.app)
    neighbour.start()
    yield neighbour
    neighbour.stop()


@pytest.fixture
def embedding_server() -> Iterator[Neighbour]:
    backend = DummyBackend(tokenizer_json())
    neighbour = Neighbour(lambda: create_embedding(EmbeddingSettings(), backend))
    neighbour.start()
    yield neighbour
    neighbour.stop()


@pytest.fixture(scope="session")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the socket of a parser, one for all tests."""
    folder = tmp_path_factory.mktemp("p")
    with parsing(folder):
        yield folder


@pytest.fixture
def settings(
    tmp_path: Path,
    llm_server: Neighbour,
    embedding_server: Neighbour,
    parser: Path,
    state_url: URL,
) -> RetrieverSettings:
    key_file = tmp_path / "api-key"
    key_file.write_text(KEY + "\n")
    return RetrieverSettings.model_validate(
        {
            "data_dir": tmp_path / "data",
            "database_url": told(state_url),
            "api_key_file": key_file,
            "embedding_url": embedding_server.url,
            "llm_url": llm_server.url + "/v1",
            "query_embedding_timeout": 60.0,
            "parser_sockets": parser,
        }
    )


@pytest.fixture
def api(settings: RetrieverSettings) -> Iterator[Api]:
    with running(settings) as api:
        yield api


@pytest.fixture
def filled(api: Api) -> Api:
    """The retriever with two documents in it."""
    job = api.ingest(
        {"text": PORTS, "title": "Ports", "source": "ports.md"},
        {"text": SOUP, "title": "Canteen", "source": "canteen.txt"},
    )
    assert job["counts"]["added"] == 2
    return api
