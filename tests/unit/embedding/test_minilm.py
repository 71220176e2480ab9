"""The real model from its package, offline: meaning, exactness, and OpenAI's own client."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Literal

import httpx2
import numpy as np
import pytest
import torch
from openai import AsyncOpenAI
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from vectors import vectors_of

from embedding.backend import (
    DummyBackend,
    SentenceTransformerBackend,
    Vectors,
    _best_dtype,
    cores,
)
from embedding.engine import Engine
from embedding.main import create
from embedding.settings import EmbeddingSettings, bundled_model
from embedding.tokens import Kind, Tokens

SENTENCES = [
    "How do I restart the server?",
    "The service can be started again with one command.",
    "Lentil soup is served at noon.",
    "日本語の文章もあります。",
    "Emoji 🦊 and\r\nline ends",
    "word " * 400,
]


@pytest.fixture(scope="session")
def backend() -> SentenceTransformerBackend:
    return SentenceTransformerBackend(EmbeddingSettings(dtype="float32"))


@pytest.fixture
async def engine(backend: SentenceTransformerBackend) -> AsyncIterator[Engine]:
    engine = Engine(backend, batch_tokens=1024, queue_texts=100, cache_texts=0)
    await engine.start()
    yield engine
    await engine.stop()


def test_the_bundled_model_goes_by_its_own_name(backend: SentenceTransformerBackend) -> None:
    assert backend.model_id == "sentence-transformers/all-MiniLM-L6-v2"
    assert (backend.dimension, backend.max_tokens) == (384, 256)
    assert len(backend.revision) == 16


def test_another_folder_is_not_served_under_the_bundled_model_s_name(tmp_path: Path) -> None:
    folder = tmp_path / "our-model"
    folder.mkdir()
    assert EmbeddingSettings(model=str(folder)).model_id == "our-model"
    assert EmbeddingSettings(model="BAAI/bge-small-en").model_id == "BAAI/bge-small-en"
    assert EmbeddingSettings(model="x/y", model_id="chosen").model_id == "chosen"


def test_like_sentences_are_closer_than_unlike_ones(backend: SentenceTransformerBackend) -> None:
    question, answer, soup = vectors_of(backend, SENTENCES[:3])
    assert question @ answer > question @ soup + 0.2


async def test_a_vector_does_not_depend_on_its_company(
    engine: Engine, backend: SentenceTransformerBackend
) -> None:
    together = (await engine.embed(SENTENCES, "document")).vectors
    alone = np.concatenate([vectors_of(backend, [sentence]) for sentence in SENTENCES])
    assert np.abs(together - alone).max() < 1e-4
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(len(SENTENCES)), abs=1e-5)


def test_tokens_are_counted_before_the_cut(backend: SentenceTransformerBackend) -> None:
    tokens = backend.tokenize(["restart", "word " * 400], "document")
    assert [one.count for one in tokens] == [3, 402]
    assert [len(one.ids) for one in tokens] == [3, 256]


def test_the_tokenizer_handed_out_counts_and_neither_cuts_nor_pads(
    backend: SentenceTransformerBackend,
) -> None:
    tokenizer = Tokenizer.from_str(backend.tokenizer_json)
    counts = [len(tokenizer.encode(text)) for text in ("restart", "word " * 400)]
    assert counts == [3, 402]


@pytest.mark.parametrize("text", ["\x00", "a\x00b", " ", "\u202e abc", "🦊" * 50, "x" * 100_000])
def test_odd_text_has_a_vector(backend: SentenceTransformerBackend, text: str) -> None:
    vectors = vectors_of(backend, [text])
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-5)


async def test_openai_s_client_works_unchanged(backend: SentenceTransformerBackend) -> None:
    app = create(EmbeddingSettings(), backend)
    async with app.router.lifespan_context(app):
        transport = httpx2.AsyncClient(transport=httpx2.ASGITransport(app))
        client = AsyncOpenAI(base_url="http://e/v1", api_key="none", http_client=transport)
        reply = await client.embeddings.create(model=backend.model_id, input=SENTENCES[:3])
        models = [model.id async for model in client.models.list()]
        await client.close()
    expected = vectors_of(backend, SENTENCES[:3])
    assert np.abs(np.array([item.embedding for item in reply.data]) - expected).max() < 1e-4
    assert reply.usage.total_tokens == sum(
        len(one.ids) for one in backend.tokenize(SENTENCES[:3], "document")
    )
    assert models == [backend.model_id]


@pytest.mark.parametrize(
    ("limit", "expected"), [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1)]
)
def test_a_container_s_quota_bounds_the_cores(
    tmp_path: Path, limit: str, expected: int | None
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(limit + "\n")
    assert cores(file) == (expected or cores(tmp_path / "absent"))


def test_the_precision_of_this_machine_gives_nearly_the_same_vectors(
    backend: SentenceTransformerBackend,
) -> None:
    fastest = SentenceTransformerBackend(EmbeddingSettings())
    exact, near = (vectors_of(one, SENTENCES) for one in (backend, fastest))
    assert (exact * near).sum(axis=1).min() > 0.999
    assert np.linalg.norm(near, axis=1) == pytest.approx(np.ones(len(SENTENCES)), abs=1e-5)


async def test_both_lanes_compute_at_once_and_get_it_right(
    engine: Engine, backend: SentenceTransformerBackend
) -> None:
    queries = [f"question number {n}?" for n in range(40)]
    documents = [f"{'text ' * (n % 50)}number {n}" for n in range(40)]
    bulk = asyncio.create_task(engine.embed(documents, "document"))
    asked = await asyncio.gather(*(engine.embed([query], "query") for query in queries))
    expected = [vectors_of(backend, [query], "query")[0] for query in queries]
    assert np.abs(np.concatenate([one.vectors for one in asked]) - expected).max() < 1e-4
    assert np.abs((await bulk).vectors - vectors_of(backend, documents)).max() < 1e-4


@pytest.mark.parametrize(
    ("device", "capable", "dtype"),
    [
        ("cuda", True, "bfloat16"),
        ("cuda:1", False, "float16"),
        ("cpu", True, "bfloat16"),
        ("cpu", False, "float32"),
    ],
)
def test_the_precision_is_the_best_that_the_device_computes_natively(
    monkeypatch: pytest.MonkeyPatch, device: str, capable: bool, dtype: str
) -> None:
    def native(including_emulation: bool) -> bool:
        assert not including_emulation
        return capable

    monkeypatch.setattr("torch.cuda.is_bf16_supported", native)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": capable})
    assert _best_dtype(device) == dtype


def test_a_gpu_makes_no_plan_for_each_shape_of_a_batch(backend: SentenceTransformerBackend) -> None:
    assert backend.dimension == 384  # loaded, which is what turns cuDNN's attention off
    # torch leaves it without types.
    assert not torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_either_precision_gives_the_librarys_vectors(
    dtype: Literal["float32", "bfloat16"],
) -> None:
    ours = SentenceTransformerBackend(EmbeddingSettings(dtype=dtype))
    precision = {"dtype": getattr(torch, dtype)}
    plain = SentenceTransformer(bundled_model(), device="cpu", model_kwargs=precision)
    for batch in (SENTENCES[:1], SENTENCES):
        expected = np.asarray(plain.encode(batch, batch_size=len(batch)), dtype=np.float32)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        assert (vectors_of(ours, batch) * expected).sum(axis=1).min() > 0.9995


async def test_batches_are_computed_at_once_each_by_a_thread() -> None:
    at_once = threading.Barrier(2)

    class Meeting(DummyBackend):
        def encode(self, texts: Sequence[Tokens], kind: Kind) -> Vectors:
            if texts[0].text != "warm up":
                at_once.wait(60)  # broken, and so an error, unless two are here at a time
            return super().encode(texts, kind)

    engine = Engine(Meeting(), batch_tokens=256, queue_texts=10, cache_texts=0, workers=2)
    await engine.start()
    long = "word " * 200
    await engine.embed([f"{long} one", f"{long} two"], "document")
    await engine.stop()
