"""Servers of other shapes that embed and rerank: what they send is in order, whole and sound, or it
is an error in words, and what can be tried again is."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from embedding_servers import (
    DIMENSION,
    CohereShape,
    EmbeddingServer,
    OpenAIShape,
    TEIShape,
    said,
    unit,
)
from rig import tokenizer_json
from serving import free_port, serving
from tokenizers import Tokenizer

from bulkhead.errors import Unavailable
from retriever.clients.embedders import tokenizers
from retriever.clients.embedders.shapes import embedder, reranker
from retriever.clients.embedding import EmbeddingClient, Manner, Refused
from retriever.clients.query_cache import QueryCache
from retriever.model_settings import ModelSettings
from retriever.settings import RetrieverSettings

TEXTS = [f"passage {n} about ferry {n * n}" for n in range(11)]
SHAPES: list[tuple[str, type[EmbeddingServer], str, dict[str, Any]]] = [
    ("openai", OpenAIShape, "/v1", {}),
    ("tei", TEIShape, "", {}),
    ("cohere", CohereShape, "", {"embedding_model": "letters-v3"}),
]
CALLS = {"openai": "/v1/embeddings", "tei": "/embed", "cohere": "/v2/embed"}


@asynccontextmanager
async def asking(
    url: str, shape: str, key: str = "", **told: Any
) -> AsyncIterator[EmbeddingClient]:
    settings = RetrieverSettings.model_validate(
        {"embedding_url": url, "embedding_shape": shape, "query_embedding_timeout": 60.0} | told
    )
    async with aiohttp.ClientSession() as http:
        yield made(http, settings, key)


def made(http: aiohttp.ClientSession, settings: ModelSettings, key: str = "") -> EmbeddingClient:
    return EmbeddingClient(
        embedder(http, settings, key),
        reranker(http, settings, key),
        Manner(
            settings.embedding_timeout,
            settings.query_embedding_timeout,
            settings.embedding_batch,
            settings.embedding_query_prefix,
            settings.embedding_passage_prefix,
        ),
        QueryCache(0),
    )


async def test_each_shape_gives_unit_vectors_in_order_and_scores() -> None:
    for shape, make, prefix, told in SHAPES:
        server = make(key="k-1")
        with serving(server.app) as url:
            async with asking(url + prefix, shape, "k-1", embedding_batch=3, **told) as client:
                model = await client.model()
                found = await client.aembed_documents(TEXTS)
                np.testing.assert_allclose(found, [unit(text) for text in TEXTS], atol=1e-6)
                query = await client.aembed_query("ferry")
                np.testing.assert_allclose(query, unit("ferry"), atol=1e-6)
                scores = await client.rerank("ferry 9", ["no", "ferry 4", "a ferry 9"])
        assert (shape, model.dimension, scores) == (shape, DIMENSION, [0.0, 1.0, 2.0])


async def test_what_a_server_tells_of_its_model_is_known_and_else_what_settings_tell() -> None:
    named = {"embedding_model": "mine", "embedding_revision": "r1", "embedding_max_tokens": 100}
    cases: list[tuple[str, EmbeddingServer, str, dict[str, Any], tuple[str, str, int]]] = [
        ("openai", OpenAIShape(), "/v1", {}, ("letters", "", 300)),
        ("openai", OpenAIShape(prefix=""), "", {}, ("letters", "", 300)),  # as Infinity has it
        ("openai", OpenAIShape(), "/v1", named, ("mine", "r1", 100)),
        ("openai", OpenAIShape(listing=False), "/v1", named, ("mine", "r1", 100)),
        ("tei", TEIShape(), "", {}, ("example/letters", "0a1b2c", 256)),
        ("tei", TEIShape(), "", {"embedding_model": "mine"}, ("mine", "0a1b2c", 256)),
        ("cohere", CohereShape(), "", {"embedding_model": "v3"}, ("v3", "", 512)),
    ]
    for shape, server, prefix, told, wanted in cases:
        with serving(server.app) as url:
            async with asking(url + prefix, shape, **told) as client:
                model = await client.model()
        assert (model.id, model.revision, model.max_tokens) == wanted, (shape, told)


async def test_a_model_without_a_name_or_of_another_revision_is_refused_in_words() -> None:
    with serving(OpenAIShape(listing=False).app) as url:
        async with asking(f"{url}/v1", "openai") as client:
            with pytest.raises(Unavailable, match="RETRIEVER_EMBEDDING_MODEL"):
                await client.model()
    with serving(TEIShape().app) as url:
        async with asking(url, "tei", embedding_revision="other") as client:
            with pytest.raises(Unavailable, match=r"'0a1b2c'.*RETRIEVER_EMBEDDING_REVISION"):
                await client.model()


async def test_prefixes_dimensions_and_kinds_reach_the_server() -> None:
    told: dict[str, Any] = {
        "embedding_query_prefix": "query: ",
        "embedding_passage_prefix": "passage: ",
        "embedding_dimensions": 8,
    }
    openai, cohere = OpenAIShape(), CohereShape()
    with serving(openai.app) as url:
        async with asking(f"{url}/v1", "openai", **told) as client:
            assert (await client.model()).dimension == 8
            assert client.revision() == " after 'passage: '"
            await client.aembed_documents(["one"])
            await client.aembed_query("one")
    asked = [body["input"] for body in openai.bodies("/v1/embeddings")[-2:]]
    assert asked == [["passage: one"], ["query: one"]]
    with serving(cohere.app) as url:
        async with asking(url, "cohere", embedding_model="v3", **told) as client:
            assert (await client.model()).dimension == 8
            await client.aembed_query("one")
    body = cohere.bodies("/v2/embed")[-1]
    assert (body["input_type"], body["output_dimension"]) == ("search_query", 8)


def _rows(*vectors: Any, first: int = 0) -> dict[str, Any]:
    rows = [{"index": first + n, "embedding": vector} for n, vector in enumerate(vectors)]
    return {"data": rows, "usage": {"total_tokens": 1}}


async def test_replies_that_are_none_are_the_servers_fault_in_words() -> None:
    good = [1.0] * DIMENSION
    cases: list[tuple[Any, str]] = [
        (said("<html>hello</html>"), "text/html, not JSON"),
        (said(_rows(good)), "1 rows for 2 texts"),
        (said(_rows(good, good, good)), "3 rows for 2 texts"),
        (said(_rows(good, good, first=1)), "rows that are not 0 to 1"),
        (said(_rows(good, good[:-1])), "several lengths"),
        (said(_rows(good[:5], good[:5])), f"of 5 numbers, where there were {DIMENSION}"),
        (said(_rows(good, "!")), "broken base64"),
        (said(_rows(good, ["a"])), "no list of numbers"),
        (said(_rows(good, [])), "an empty vector"),
        (said({"data": None}), "0 rows for 2 texts"),
        (said([]), "cannot be read"),
        (said({"error": {"message": "boom"}}, 500), "answered 500: boom"),
        (said("", 302, location="http://elsewhere/"), "answered 302"),
        (said({"error": {"message": "no such model"}}, 404), r"\(404\): no such model"),
        (said({"error": {"message": "bad key sk-1"}}, 401), r"refuses the key \(401\)$"),
    ]
    server = OpenAIShape()
    with serving(server.app) as url:
        async with asking(f"{url}/v1", "openai") as client:
            await client.model()
            for reply, words in cases:
                server.faults["/v1/embeddings"].append(reply)
                with pytest.raises(Unavailable, match=words) as caught:
                    await client.aembed_documents(["one", "two"])
                assert not isinstance(caught.value, Refused), words
                assert url not in str(caught.value)
            assert len(await client.aembed_documents(["one", "two"])) == 2


async def test_a_vector_that_is_none_is_the_texts_fault_where_others_are_sound() -> None:
    good = [1.0] * DIMENSION
    server = OpenAIShape()
    faults = server.faults["/v1/embeddings"]
    with serving(server.app) as url:
        async with asking(f"{url}/v1", "openai") as client:
            await client.model()
            for bad in ([0.0] * DIMENSION, [*good[1:], None]):
                faults.append(said(_rows(good, bad)))
                with pytest.raises(Refused, match="for this text"):
                    await client.aembed_documents(["one", "two"])
            faults += [said(_rows([None] * DIMENSION)), said(_rows([None] * DIMENSION))]
            with pytest.raises(Unavailable, match="no number") as caught:
                await client.aembed_documents(["one"])
            assert not isinstance(caught.value, Refused)
            faults.append(said({"data": [{"index": 0, "embedding": [math.nan]}]}))  # no JSON
            with pytest.raises(Unavailable, match="not JSON"):
                await client.aembed_documents(["one"])


async def test_a_server_that_turns_texts_away_is_asked_again_when_it_says() -> None:
    for shape, make, prefix, told in SHAPES:
        server = make()
        with serving(server.app) as url:
            async with asking(url + prefix, shape, **told) as client:
                await client.model()
                server.faults[CALLS[shape]] += [
                    said({"error": "overloaded"}, 429, **{"retry-after": "0"}),
                    said({"error": "later"}, 503, **{"retry-after": "0"}),
                ]
                assert len(await client.aembed_documents(TEXTS)) == len(TEXTS)
                server.faults[CALLS[shape]] += [
                    said({"message": "quota"}, 429, **{"retry-after": "4000"})
                ]
                with pytest.raises(Unavailable, match=r"429, and asks to wait 4000 s: quota"):
                    await client.aembed_documents(["one"])


async def test_what_is_too_large_at_once_goes_in_halves_and_alone_is_refused() -> None:
    server = OpenAIShape(most_texts=3)
    with serving(server.app) as url:
        async with asking(f"{url}/v1", "openai") as client:
            found = await client.aembed_documents(TEXTS)
            np.testing.assert_allclose(found, [unit(text) for text in TEXTS], atol=1e-6)
            server.faults["/v1/embeddings"] += [said({"error": {"message": "413 words"}}, 413)]
            with pytest.raises(Refused, match="413 words"):
                await client.aembed_documents(["one"])
            long = "input (901 tokens) is too large to process. increase the physical batch size"
            server.faults["/v1/embeddings"] += [said({"error": {"message": long}}, 500)]
            with pytest.raises(Refused, match="901 tokens"):  # as llama.cpp has it
                await client.aembed_documents(["one"])


async def test_a_dead_server_and_a_slow_one_are_told_apart_by_their_error() -> None:
    async with asking(f"http://127.0.0.1:{free_port()}", "tei") as client:
        with pytest.raises(Unavailable, match="ClientConnectorError") as caught:
            await client.aembed_query("one")
        assert caught.value.part == "embedding"
        with pytest.raises(Unavailable, match="reranker server") as caught:
            await client.rerank("one", ["two"])
        assert caught.value.part == "reranker"


async def test_scores_that_are_missing_or_no_numbers_are_told() -> None:
    server = OpenAIShape()
    with serving(server.app) as url:
        async with asking(f"{url}/v1", "openai") as client:
            for reply, words in (
                (said({"results": [{"index": 0, "relevance_score": 1.0}]}), "1 rows for 2 texts"),
                (said({"results": [{"index": 0, "relevance_score": None}] * 2}), "not 0 to 1"),
                (said("<p>"), "not JSON"),
            ):
                server.faults["/v1/rerank"].append(reply)
                with pytest.raises(Unavailable, match=words):
                    await client.rerank("one", ["two", "three"])


async def test_a_reranker_of_its_own_gets_its_own_key_and_never_the_other() -> None:
    embeds, reranks = OpenAIShape(key="k-1"), TEIShape(key="k-2")
    with serving(embeds.app) as url, serving(reranks.app) as other:
        settings = RetrieverSettings.model_validate(
            {
                "embedding_url": f"{url}/v1",
                "embedding_shape": "openai",
                "reranker_url": other,
                "reranker_shape": "tei",
            }
        )
        async with aiohttp.ClientSession() as http:
            client = EmbeddingClient(
                embedder(http, settings, "k-1"),
                reranker(http, settings, "k-2"),
                Manner(60, 60, 16),
                QueryCache(0),
            )
            await client.aembed_query("one")
            assert await client.rerank("a b", ["b", "a b"]) == [1.0, 2.0]


async def test_texts_are_cut_for_a_server_that_would_refuse_them() -> None:
    server = OpenAIShape()
    told: dict[str, Any] = {"embedding_max_tokens": 40, "embedding_query_prefix": "query: "}
    with serving(server.app) as url:
        async with asking(f"{url}/v1", "openai", **told) as client:
            tokenizer = await client.tokenizer()
            assert client.room(tokenizer) == 38
            await client.aembed_query("harbour " * 500)
            await client.embedded(["harbour " * 500], "query", truncate=False)
    cut, whole = (body["input"][0] for body in server.bodies("/v1/embeddings")[-2:])
    assert whole == "query: " + "harbour " * 500
    assert whole.startswith(cut)
    assert len(tokenizers.read(tokenizer).encode(cut).ids) == 38


def test_the_estimate_counts_no_fewer_tokens_than_a_model_does() -> None:
    real, guess = tokenizers.read(tokenizer_json()), tokenizers.read(tokenizers.estimate())
    texts = [path.read_text() for path in Path("docs").glob("*.md")]
    texts += ["Die Fähre fährt um 7:45 Uhr nach Öland. " * 9, "Паром идёт в порт. " * 9]
    texts += ["渡船每天早上七点开往港口。" * 9, "x = {'a': [1, 2.5e-3], \"b\": None}\n" * 9]
    for text in texts:
        counted = len(real.encode(text, add_special_tokens=False).ids)
        assert counted <= len(guess.encode(text).ids) <= 2.5 * counted, text[:40]


async def test_a_tokenizer_is_read_from_its_file_and_a_bad_one_refused_at_start(
    tmp_path: Path,
) -> None:
    good, bad = tmp_path / "tokenizer.json", tmp_path / "bad.json"
    good.write_text(tokenizer_json())
    bad.write_text("{}")
    loaded = Tokenizer.from_str(await tokenizers.load(str(good)))
    assert loaded.get_vocab_size() == 30522
    for path, words in ((bad, "not a tokenizer.json"), (tmp_path / "none.json", "cannot be read")):
        with pytest.raises(ValueError, match=words):
            RetrieverSettings.model_validate({"embedding_tokenizer": str(path)})


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    servers = [{"url": "http://a/v1"}, {"url": "http://b/v1"}]
    for told, words in (
        ({"embedding_shape": "cohere"}, "needs RETRIEVER_EMBEDDING_MODEL"),
        ({"reranker_api_key_file": tmp_path / "key"}, "needs RETRIEVER_RERANKER_URL"),
        ({"llm_url": servers, "llm_api_key_file": tmp_path / "key"}, "each has its own"),
        ({"llm_url": servers, "llm_model": "m"}, "each has its own"),
        ({"llm_url": []}, "at least 1"),
    ):
        with pytest.raises(ValueError, match=words):
            RetrieverSettings.model_validate(told)
