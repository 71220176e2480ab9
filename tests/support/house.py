"""A retriever with its neighbours that serves many tests, each of which finds it empty."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import state
from rig import KEY, Api, parsing, running, tokenizer_json
from scripted_llm import ScriptedLLM
from serving import serving
from starlette.types import Receive, Scope, Send

from embedding.backend import DummyBackend
from embedding.main import create as create_embedding
from embedding.settings import EmbeddingSettings
from retriever.settings import RetrieverSettings


@dataclass
class House:
    """Who lives in it: the model server of the test that runs, and the retriever's client."""

    api: Api
    llm: ScriptedLLM = field(default_factory=ScriptedLLM)

    def clear(self) -> None:
        """Delete what the test before left."""
        for one in self.api.get("/v1/documents?limit=1000").json()["data"]:
            assert self.api.delete(f"/v1/documents/{one['id']}").status_code == 204


@contextmanager
def standing(folder: Path, **more: object) -> Iterator[House]:
    """A house whose data are in `folder`; `more` are settings of its retriever."""
    house = House(Api())

    async def model_server(scope: Scope, receive: Receive, send: Send) -> None:
        await house.llm.app(scope, receive, send)

    key_file = folder / "api-key"
    key_file.write_text(KEY + "\n")
    backend = DummyBackend(tokenizer_json())
    with (
        state.state() as state_url,
        parsing(folder / "p"),
        serving(create_embedding(EmbeddingSettings(), backend)) as embedding_url,
        serving(model_server) as llm_url,
    ):
        told = {
            "data_dir": folder / "data",
            "database_url": state.told(state_url),
            "api_key_file": key_file,
            "embedding_url": embedding_url,
            "llm_url": f"{llm_url}/v1",
            "query_embedding_timeout": 2.0,
            "parser_sockets": folder / "p",
            **more,
        }
        with running(RetrieverSettings.model_validate(told)) as house.api:
            yield house
