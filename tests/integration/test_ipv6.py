"""Every neighbour at an address of IPv6, and the retriever too."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from qdrant_server import KEY as QDRANT_KEY
from qdrant_server import serving_qdrant
from rig import KEY, PORTS, Api, taking_in, tokenizer_json
from scripted_llm import ScriptedLLM
from serving import serving
from state import state, told

from embedding.backend import DummyBackend
from embedding.main import create as create_embedding
from embedding.settings import EmbeddingSettings
from retriever.main import create as create_retriever
from retriever.settings import RetrieverSettings


@contextmanager
def at_loopback(app: Any) -> Iterator[str]:
    """Serve `app` at ::1; gives its address."""
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    url = f"http://[::1]:{listener.getsockname()[1]}"
    with serving(app, listener=listener):
        yield url


def test_neighbours_and_clients_may_have_addresses_of_ipv6(
    llm: ScriptedLLM, parser: Path, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "qdrant-key").write_text(QDRANT_KEY)
    embedding = create_embedding(EmbeddingSettings(), DummyBackend(tokenizer_json()))
    with (
        at_loopback(llm.app) as llm_url,
        at_loopback(embedding) as embedding_url,
        serving_qdrant(address="[::1]:0") as qdrant,
        state() as state_url,
    ):
        settings = RetrieverSettings.model_validate(
            {
                "host": "::1",
                "data_dir": tmp_path / "data",
                "database_url": told(state_url),
                "api_key_file": tmp_path / "key",
                "embedding_url": embedding_url,
                "llm_url": f"{llm_url}/v1",
                "parser_sockets": parser,
                "qdrant_url": f"http://[::1]:{qdrant.port}",
                "qdrant_api_key_file": tmp_path / "qdrant-key",
            }
        )
        headers = {"Authorization": f"Bearer {KEY}"}
        with (
            taking_in(settings.model_copy(update={"host": "127.0.0.1"})),
            at_loopback(create_retriever(settings)) as url,
            Api(base_url=url, headers=headers, timeout=60) as api,
        ):
            job = api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
            assert job["state"] == "succeeded", job
            assert api.get("/readyz").json()["status"] == "ready"
            answer = api.ask("Which port does the retriever listen on?")
            assert answer.status_code == 200, answer.text
            assert answer.json()["retrieval"]["results"]
