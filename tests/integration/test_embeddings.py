"""Embeddings for whoever keeps an index beside ours, as OpenAI's clients ask for them."""

import base64
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openai
import pytest
from people import people
from rig import KEY, Api, Neighbour, running, tokenizer_json

from embedding.backend import DummyBackend, Vectors
from embedding.main import create as create_embedding
from embedding.settings import EmbeddingSettings
from embedding.tokens import Kind, Tokens
from retriever.settings import RetrieverSettings

LIMITS = {"requests_per_minute": 100, "tokens_per_minute": 20, "documents_per_minute": 1}
TEXTS = [f"Sentence number {n} is about ferries." for n in range(40)]


@pytest.fixture
def client(api: Api) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{api.base_url}/v1/", api_key=KEY, max_retries=0) as client:
        yield client


def test_the_vectors_are_the_services_own_in_the_order_of_the_texts(
    api: Api, client: openai.OpenAI, embedding_server: Neighbour
) -> None:
    own = Api(base_url=embedding_server.url).post("/v1/embeddings", json={"input": TEXTS}).json()
    wanted = np.array([one["embedding"] for one in own["data"]], np.float32)
    as_base64 = client.embeddings.create(model="dummy", input=TEXTS)  # what the SDK asks for
    as_floats = client.embeddings.create(model="", input=TEXTS, encoding_format="float")
    for reply in (as_base64, as_floats):
        assert [one.index for one in reply.data] == list(range(40))
        got = np.array([one.embedding for one in reply.data], np.float32)
        np.testing.assert_array_equal(got, wanted)
        assert (reply.model, reply.object) == ("dummy", "list")
        assert reply.usage.total_tokens == own["usage"]["total_tokens"] > 0
    raw = api.post("/v1/embeddings", json={"input": TEXTS[3], "encoding_format": "base64"}).json()
    np.testing.assert_array_equal(
        np.frombuffer(base64.b64decode(raw["data"][0]["embedding"]), "<f4"), wanted[3]
    )


HARMLESS: list[dict[str, Any]] = [
    {"model": None},
    {"encoding_format": None},
    {"dimensions": None},
    {"dimensions": 64},
    {"user": "u"},
    {"input_type": "query"},
    {"input_type": "document"},
    {"truncate": True},
    {"input": "one text"},
]
REFUSED: list[tuple[dict[str, Any], int, str | None]] = [
    ({"input": [1, 2, 3]}, 400, "input"),
    ({"input": [[1, 2], [3]]}, 400, "input"),
    ({"input": [[]]}, 400, "input"),
    ({"input": ["a", [3]]}, 400, "input"),
    ({"input": ""}, 400, "input"),
    ({"input": []}, 400, "input"),
    ({"input": ["a", ""]}, 400, "input"),
    ({"input": ["short"] * 20 + ["long " * 300], "truncate": False}, 400, "input"),
    ({"dimensions": 256}, 400, "dimensions"),
    ({"model": "text-embedding-3-small"}, 404, "model"),
    ({"input": None}, 422, None),
    ({"input": {"text": "a"}}, 422, None),
    ({"input": ["a"] * 2049}, 422, None),
    ({"encoding_format": "hex"}, 422, None),
]


def test_harmless_values_are_accepted_and_the_others_named(api: Api) -> None:
    for fields in HARMLESS:
        reply = api.post("/v1/embeddings", json={"input": ["a"], **fields})
        assert reply.status_code == 200, (fields, reply.text)
    for fields, status, param in REFUSED:
        reply = api.post("/v1/embeddings", json={"input": ["a"], **fields})
        error = reply.json()["error"]
        assert (reply.status_code, error.get("param")) == (status, param), (fields, reply.text)
    long = api.post("/v1/embeddings", json=REFUSED[7][0]).json()["error"]["message"]
    assert "text 20: 302 tokens" in long  # of all texts, not of a batch of them
    broken = api.post("/v1/embeddings", content=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400


def test_an_alias_stands_for_the_embedding_model(settings: RetrieverSettings) -> None:
    aliases = {"text-embedding-3-small": "dummy", "*": "scripted"}
    with running(settings.model_copy(update={"llm_model_aliases": aliases})) as api:
        for named, status in (("text-embedding-3-small", 200), ("text-embedding-3-large", 404)):
            body = {"model": named, "input": "a"}
            assert api.post("/v1/embeddings", json=body).status_code == status


def test_a_key_pays_for_the_tokens_and_is_known(api: Api) -> None:
    with people(api) as team:
        poor = team.join("default", "reader", limits=LIMITS)
        body = {"input": "word " * 50}
        assert poor.post("/v1/embeddings", json=body).status_code == 200
        refused = poor.post("/v1/embeddings", json=body)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert team.client("").post("/v1/embeddings", json=body).status_code == 401


class Held(DummyBackend):
    """A model that takes as long as it is told to for texts that say `hold`."""

    def __init__(self) -> None:
        super().__init__(tokenizer_json())
        self.began, self.release = threading.Event(), threading.Event()

    def encode(self, texts: Sequence[Tokens], kind: Kind) -> Vectors:
        if any("hold" in text.text for text in texts):
            self.began.set()
            assert self.release.wait(60)
        return super().encode(texts, kind)


def test_embeddings_have_places_of_their_own(settings: RetrieverSettings) -> None:
    backend = Held()
    neighbour = Neighbour(lambda: create_embedding(EmbeddingSettings(), backend))
    neighbour.start()
    few = {"concurrent_embeddings": 1, "embedding_url": neighbour.url}
    changed = RetrieverSettings.model_validate(settings.model_dump() | few)
    try:
        with running(changed) as api, ThreadPoolExecutor(1) as other:
            held = other.submit(api.post, "/v1/embeddings", json={"input": "hold on"})
            try:
                assert backend.began.wait(60)
                refused = api.post("/v1/embeddings", json={"input": "a"})
                assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
                assert "embeddings" in refused.json()["error"]["message"]
                assert api.post("/v1/search", json={"query": "ferries"}).status_code == 200
            finally:
                backend.release.set()
            assert held.result().status_code == 200
            assert api.post("/v1/embeddings", json={"input": "a"}).status_code == 200
    finally:
        neighbour.stop()


def test_without_the_embedding_service_it_is_503_and_costs_nothing(
    api: Api, embedding_server: Neighbour
) -> None:
    with people(api) as team:
        poor = team.join("default", "reader", limits=LIMITS)
        embedding_server.stop()
        body = {"input": "word " * 50}
        for _ in range(2):
            reply = poor.post("/v1/embeddings", json=body)
            assert (reply.status_code, reply.json()["error"]["part"]) == (503, "embedding")
        embedding_server.start()
        assert poor.post("/v1/embeddings", json=body).status_code == 200
