"""Texts are tokenized by us as the model's own library would: its vectors are the reference."""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tiny import bert_config
from transformers import AutoTokenizer, BertModel
from vectors import vectors_of

from embedding.backend import SentenceTransformerBackend
from embedding.settings import EmbeddingSettings, bundled_model
from embedding.tokens import Kind

TEXTS = [
    "How do I restart the server?",
    "  spaces, tabs\t and\r\nline ends  ",
    "",
    "日本語 🦊 \x00 \u202e abc",
    "word " * 400,
    "http://example.org/picture.png",
]


def tiny(
    folder: Path, *, side: str = "right", include_prompt: bool = True, padding: bool | str = True
) -> str:
    """A BERT with two random layers that has prompts, as a folder."""
    tokenizer = AutoTokenizer.from_pretrained(bundled_model(), padding_side=side)
    tokenizer.model_max_length = 64
    config = bert_config(len(tokenizer))
    BertModel(config).save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    ways = {"text": {"padding": padding}}
    transformer = Transformer(str(folder / "bert"), processing_kwargs=ways)
    pooling = Pooling(32, "mean", include_prompt=include_prompt)
    prompts = {"query": "find: ", "passage": "passage, to be found: "}
    model = SentenceTransformer(modules=[transformer, pooling], prompts=prompts, device="cpu")
    model.save_pretrained(str(folder / "model"))
    return str(folder / "model")


def same(model: str, kind: Kind) -> bool:
    """Whether the vectors are the library's. Returns whether our own tokens were used."""
    backend = SentenceTransformerBackend(EmbeddingSettings(model=model, dtype="float32"))
    library = SentenceTransformer(model, device="cpu")
    encode = library.encode_query if kind == "query" else library.encode_document
    expected = encode(TEXTS, batch_size=len(TEXTS), normalize_embeddings=True)
    assert np.abs(vectors_of(backend, TEXTS, kind) - expected).max() < 1e-5
    return backend._readers[kind].complete


@pytest.mark.parametrize("kind", ["query", "document"])
def test_the_bundled_model_s_vectors(kind: Kind) -> None:
    assert same(bundled_model(), kind)


@pytest.mark.parametrize("kind", ["query", "document"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("include_prompt", [True, False])
def test_prompts_and_padding(tmp_path: Path, kind: Kind, side: str, include_prompt: bool) -> None:
    assert same(tiny(tmp_path, side=side, include_prompt=include_prompt), kind)


def test_a_model_that_reads_in_its_own_way_is_left_to_it(tmp_path: Path) -> None:
    assert not same(tiny(tmp_path, padding="max_length"), "document")
