"""The retriever with an embedding server of another shape: documents go in, are found, and an index
that was written with another model is refused in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from embedding_servers import CohereShape, EmbeddingServer, OpenAIShape, TEIShape, said
from rig import PORTS, SOUP, Api, Neighbour, running
from serving import serving
from state import state
from state import told as of

from retriever.main import create as create_retriever
from retriever.settings import RetrieverSettings


def changed(settings: RetrieverSettings, **told: Any) -> RetrieverSettings:
    return RetrieverSettings.model_validate(settings.model_dump() | told)


@contextmanager
def refused(settings: RetrieverSettings) -> Iterator[str]:
    """What a retriever says of an index that it will not use."""
    with serving(create_retriever(settings)) as url, Api(base_url=url, timeout=60) as api:
        reply = api.until_ready(lambda told: "written" in told["parts"]["qdrant"]["detail"])
        assert reply.status_code == 503
        yield reply.json()["parts"]["qdrant"]["detail"]


def test_documents_go_in_and_are_found_by_servers_of_each_shape(
    settings: RetrieverSettings,
) -> None:
    key = settings.data_dir.parent / "embedding-key"
    key.write_text("k-embedding\n")
    shapes: list[tuple[str, EmbeddingServer, str, str]] = [
        ("openai", OpenAIShape(key="k-embedding"), "/v1", "/v1/embeddings"),
        ("tei", TEIShape(key="k-embedding"), "", "/embed"),
        ("cohere", CohereShape(key="k-embedding"), "", "/v2/embed"),
    ]
    for shape, server, prefix, call in shapes:
        neighbour = Neighbour(partial(getattr, server, "app"))
        neighbour.start()
        told = {
            "embedding_url": neighbour.url + prefix,
            "embedding_shape": shape,
            "embedding_model": f"letters-{shape}",
            "embedding_api_key_file": key,
            "data_dir": settings.data_dir / shape,
        }
        try:
            with state() as url, running(changed(settings, **told, database_url=of(url))) as api:
                server.faults[call] += [said("", 429, **{"retry-after": "0"})]
                job = api.ingest({"text": PORTS, "source": "p.md"}, {"text": SOUP, "source": "s"})
                assert job["counts"]["added"] == 2, job
                body = {"query": "lentil soup noon", "mode": "dense", "rerank": True, "top_k": 2}
                found = api.post("/v1/search", json=body).json()
                assert (found["results"][0]["source"], found["degraded"]) == ("s", [])
                reply = api.post("/v1/embeddings", json={"input": ["a", "b"]}).json()
                assert (reply["model"], len(reply["data"])) == (f"letters-{shape}", 2)
                assert reply["usage"]["total_tokens"] > 0
                said_key = api.get("/readyz").text + str(found)
                assert "k-embedding" not in said_key
        finally:
            neighbour.stop()


def test_another_model_or_passage_prefix_is_refused_and_told_how_to_reindex(
    settings: RetrieverSettings,
) -> None:
    server = OpenAIShape()
    neighbour = Neighbour(lambda: server.app)
    neighbour.start()
    told = {"embedding_url": f"{neighbour.url}/v1", "embedding_shape": "openai"}
    differing: list[tuple[dict[str, Any], str]] = [
        ({"embedding_model": "other"}, "model 'letters', now 'other'"),
        ({"embedding_revision": "r2"}, "revision '', now 'r2'"),
        ({"embedding_passage_prefix": "p: "}, "revision '', now \" after 'p: '\""),
        ({"embedding_dimensions": 8}, "dimension 36, now 8"),
    ]
    try:
        with running(changed(settings, **told)) as api:
            api.ingest({"text": PORTS, "source": "p.md"})
        for more, words in differing:
            with refused(changed(settings, **told, **more)) as detail:
                assert words in detail and "scripts/reindex.py" in detail, detail
        with running(changed(settings, **told, embedding_query_prefix="q: ")) as api:
            assert "p.md" in api.get("/v1/documents").text  # of questions alone: no matter
    finally:
        neighbour.stop()
