"""The HTTP surface, on a backend without weights."""

import asyncio
import base64
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import httpx2
import numpy as np
import pytest
from fastapi import FastAPI
from leaving import asking
from serving import serving
from vectors import vectors_of

from bulkhead.middleware import CLIENT_LEFT
from embedding.backend import DummyBackend, Vectors
from embedding.main import create
from embedding.settings import EmbeddingSettings
from embedding.tokens import Kind, Tokens


class WithoutReranker(DummyBackend):
    reranks = False


class Gated(DummyBackend):
    """Computes only while its gate is open, and remembers what it computed."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.gate = threading.Event(), threading.Event()
        self.counted = threading.Semaphore(0)
        self.computed: list[str] = []
        self.gate.set()

    def tokenize(self, texts: Sequence[str], kind: Kind) -> list[Tokens]:
        if list(texts) != ["warm up"]:
            self.counted.release()
        return super().tokenize(texts, kind)

    def encode(self, texts: Sequence[Tokens], kind: Kind) -> Vectors:
        content = [tokens.text for tokens in texts]
        if content != ["warm up"]:
            self.computed += content
            self.entered.set()
            assert self.gate.wait(60)
        return super().encode(texts, kind)


def post(url: str, text: str) -> None:
    reply = httpx2.post(url + "/v1/embeddings", json={"input": text}, timeout=60)
    assert reply.status_code == 200


class Client(httpx2.AsyncClient):
    """A client of `app` in this process, with the app's life around it."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(transport=httpx2.ASGITransport(app), base_url="http://embedding")
        self._life = app.router.lifespan_context(app)

    async def __aenter__(self) -> "Client":
        await self._life.__aenter__()
        await super().__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await super().__aexit__(*error)
        await self._life.__aexit__(None, None, None)


class Departures(logging.Handler):
    """Hears of clients that left before their answer."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if vars(record).get("status") == CLIENT_LEFT:
            self.seen.set()


@pytest.fixture
def departures(caplog: pytest.LogCaptureFixture) -> Iterator[Departures]:
    heard = Departures()
    logger = logging.getLogger("bulkhead.request")
    logger.addHandler(heard)
    with caplog.at_level(logging.INFO, logger.name):
        yield heard
    logger.removeHandler(heard)


@pytest.fixture
def backend() -> DummyBackend:
    return DummyBackend('{"version": "1.0"}')


@pytest.fixture
async def http(backend: DummyBackend) -> AsyncIterator[httpx2.AsyncClient]:
    async with Client(create(EmbeddingSettings(), backend)) as client:
        yield client


async def embed(http: httpx2.AsyncClient, **body: Any) -> httpx2.Response:
    return await http.post("/v1/embeddings", json=body)


async def test_the_reply_has_openai_s_shape(http: httpx2.AsyncClient) -> None:
    reply = (await embed(http, input=["one two", "three"], model="dummy")).json()
    vectors = [item.pop("embedding") for item in reply["data"]]
    assert reply == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0}, {"object": "embedding", "index": 1}],
        "model": "dummy",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)


async def test_base64_holds_the_same_floats(http: httpx2.AsyncClient) -> None:
    floats = (await embed(http, input="a text")).json()["data"][0]["embedding"]
    encoded = (await embed(http, input="a text", encoding_format="base64")).json()
    decoded = np.frombuffer(base64.b64decode(encoded["data"][0]["embedding"]), "<f4")
    assert np.array_equal(np.array(floats, "<f4"), decoded)


async def test_usage_counts_what_is_read_after_the_cut(http: httpx2.AsyncClient) -> None:
    reply = await embed(http, input=["word " * 1000, "two words"])
    assert reply.json()["usage"]["prompt_tokens"] == 256 + 4


async def test_a_long_text_is_refused_by_index_and_size_where_cutting_is_off(
    http: httpx2.AsyncClient,
) -> None:
    reply = await embed(http, input=["fits", "word " * 1000], truncate=False)
    assert reply.status_code == 422
    message = reply.json()["error"]["message"]
    assert "input.1" in message and "1002" in message and "256" in message


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["fine", ""]}, "input"),
        ({"input": ["x"] * 2049}, "2048"),
        ({"input": [1, 2, 3]}, "token ids"),
        ({"input": [[1, 2], [3]]}, "token ids"),
        ({"input": "x", "dimensions": 8}, "64"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "x", "input_type": "title"}, "input_type"),
        ({"input": None}, "input"),
        ({}, "input"),
    ],
)
async def test_what_cannot_be_used_is_a_422_that_says_why(
    http: httpx2.AsyncClient, body: dict[str, Any], says: str
) -> None:
    reply = await embed(http, **body)
    assert reply.status_code == 422
    assert reply.json()["error"]["type"] == "invalid_value"
    assert says in reply.json()["error"]["message"]


async def test_another_model_s_name_is_a_404_that_names_the_one_here(
    http: httpx2.AsyncClient,
) -> None:
    reply = await embed(http, input="x", model="text-embedding-3-small")
    assert reply.status_code == 404
    assert "dummy" in reply.json()["error"]["message"]


async def test_half_a_surrogate_pair_is_refused_in_words(http: httpx2.AsyncClient) -> None:
    for path, body in [
        ("/v1/embeddings", rb'{"input": ["fine", "a\ud800b"]}'),
        ("/v1/rerank", rb'{"query": "a\udfff", "documents": ["b"]}'),
    ]:
        headers = {"content-type": "application/json"}
        reply = await http.post(path, content=body, headers=headers)
        assert reply.status_code == 422, reply.text
        assert "unicode" in reply.json()["error"]["message"].lower()


async def test_a_body_that_is_not_json_is_malformed(http: httpx2.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    reply = await http.post("/v1/embeddings", content=b"{", headers=headers)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "malformed_request")


async def test_rerank_puts_the_best_first_and_cuts_to_top_n(http: httpx2.AsyncClient) -> None:
    body = {"query": "red fox", "documents": ["a cat", "a red fox", "a red cat"], "top_n": 2}
    reply = await http.post("/v1/rerank", json=body)
    assert reply.json() == {
        "results": [{"index": 1, "relevance_score": 2.0}, {"index": 2, "relevance_score": 1.0}]
    }


async def test_without_a_reranking_model_rerank_names_the_missing_part() -> None:
    async with Client(create(EmbeddingSettings(), WithoutReranker())) as http:
        reply = await http.post("/v1/rerank", json={"query": "q", "documents": ["d"]})
    assert reply.status_code == 503
    error = reply.json()["error"]
    assert (error["type"], error["part"]) == ("unavailable", "reranker")


async def test_the_model_says_what_an_index_must_know(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/v1/models")).json() == {
        "object": "list",
        "data": [
            {"id": "dummy", "object": "model", "dimension": 64, "max_tokens": 256, "revision": "1"}
        ],
    }


async def test_the_tokenizer_comes_with_an_etag_of_its_content(http: httpx2.AsyncClient) -> None:
    reply = await http.get("/v1/tokenizer")
    assert reply.text == '{"version": "1.0"}'
    assert len(reply.headers["etag"].strip('"')) == 64


async def test_it_is_ready_once_it_is_warm(http: httpx2.AsyncClient) -> None:
    reply = await http.get("/readyz")
    assert (reply.status_code, reply.json()["status"]) == (200, "ready")


def test_a_full_queue_is_a_429_with_retry_after() -> None:
    gated = Gated()
    app = create(EmbeddingSettings(queue_texts=1, threads=1), gated)
    with serving(app) as url, httpx2.Client(base_url=url, timeout=60) as http:
        gated.gate.clear()
        callers = [threading.Thread(target=post, args=(url, f"text {i}")) for i in range(2)]
        callers[0].start()
        assert gated.entered.wait(60)
        callers[1].start()
        assert gated.counted.acquire(timeout=60)  # the third count is of the refused one
        assert gated.counted.acquire(timeout=60)
        reply = http.post("/v1/embeddings", json={"input": "one too many"})
        gated.gate.set()
        for caller in callers:
            caller.join(60)
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) >= 1


def test_what_a_client_that_left_was_waiting_for_is_not_computed(departures: Departures) -> None:
    gated = Gated()
    app = create(EmbeddingSettings(threads=1), gated)
    with serving(app) as url, httpx2.Client(base_url=url, timeout=60) as http:
        gated.gate.clear()
        first = threading.Thread(target=post, args=(url, "first"))
        first.start()
        assert gated.entered.wait(60)
        with asking(http, "/v1/embeddings", {"input": "left"}):
            assert gated.counted.acquire(timeout=60)
            assert gated.counted.acquire(timeout=60)  # its own, and it waits
        assert departures.seen.wait(60)
        gated.gate.set()
        first.join(60)
        assert http.post("/v1/embeddings", json={"input": "last"}).status_code == 200
    assert gated.computed == ["first", "last"]


@pytest.mark.parametrize(
    ("setting", "asked", "status"),
    [(True, None, 200), (False, None, 422), (False, True, 200), (True, False, 422)],
)
async def test_a_long_text_is_cut_or_refused_as_asked_and_as_set(
    setting: bool, asked: bool | None, status: int
) -> None:
    async with Client(create(EmbeddingSettings(truncate=setting), DummyBackend())) as http:
        reply = await embed(http, input=["short", "word " * 300], truncate=asked)
    assert reply.status_code == status
    if status == 200:
        assert reply.json()["usage"]["total_tokens"] == 3 + 256
    else:
        assert "input.1: 302 tokens" in reply.json()["error"]["message"]


async def test_the_same_text_costs_the_same_tokens_from_the_cache(http: httpx2.AsyncClient) -> None:
    first, again = [(await embed(http, input=["a b c", "a b c"])).json() for _ in range(2)]
    assert first == again
    assert first["usage"]["total_tokens"] == 10


async def test_many_callers_with_reranking_and_bulk_all_get_their_own(
    http: httpx2.AsyncClient,
) -> None:
    async def one(n: int) -> bool:
        kind = ("query", "document")[n % 2]
        reply = await embed(http, input=f"text {n}", input_type=kind)
        expected = vectors_of(DummyBackend(), [f"text {n}"], "query")[0]
        return bool(np.allclose(reply.json()["data"][0]["embedding"], expected, atol=1e-6))

    async def rank(n: int) -> bool:
        body = {"query": f"w{n}", "documents": ["x", f"w{n}"]}
        reply = await http.post("/v1/rerank", json=body)
        return bool(reply.json()["results"][0] == {"index": 1, "relevance_score": 1.0})

    assert all(await asyncio.gather(*map(one, range(60)), *map(rank, range(20))))
