"""Texts in one row get the vectors that the library gives them padded; who cannot, stays padded."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny import bert_config
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    T5Config,
    T5EncoderModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.bert import modeling_bert
from vectors import vectors_of

from embedding.backend import SentenceTransformerBackend
from embedding.rows import take_rows
from embedding.settings import EmbeddingSettings, bundled_model
from embedding.tokens import Reader

TEXTS = [
    "Which port?",
    "How do I restart the server?",
    "word " * 60,
    "",
    "How do I stop the server?",
    "A much longer text about servers, ports and what listens where. " * 9,
]
SIZES: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
NO_TOKENS: dict[str, Any] = dict.fromkeys(
    ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0
)

MODELS: dict[str, tuple[int | None, Callable[[int], PreTrainedModel]]] = {
    "BERT": (0, lambda words: BertModel(bert_config(words))),
    "BERT of 40 positions": (
        0,
        lambda words: BertModel(BertConfig(vocab_size=words, max_position_embeddings=40, **SIZES)),
    ),
    "XLM-R": (
        1,
        lambda words: XLMRobertaModel(
            XLMRobertaConfig(vocab_size=words, num_hidden_layers=2, pad_token_id=0, **SIZES)
        ),
    ),
    "DistilBERT": (
        0,
        lambda words: DistilBertModel(
            DistilBertConfig(vocab_size=words, dim=32, n_heads=2, n_layers=2, hidden_dim=64)
        ),
    ),
    "a token sees its neighbours": (
        None,
        lambda words: ModernBertModel(
            ModernBertConfig(
                vocab_size=words,
                num_hidden_layers=3,
                local_attention=8,
                **SIZES,
                **NO_TOKENS,
            )
        ),
    ),
    "a token sees what is before it": (
        None,
        lambda words: GPT2Model(GPT2Config(vocab_size=words, n_embd=32, n_layer=2, n_head=2)),
    ),
    "a token's distance counts": (
        None,
        lambda words: T5EncoderModel(
            T5Config(vocab_size=words, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
        ),
    ),
    "a token's distance counts, in MPNet": (
        None,
        lambda words: MPNetModel(
            MPNetConfig(vocab_size=words, num_hidden_layers=2, pad_token_id=0, **SIZES)
        ),
    ),
}


def saved(
    folder: Path, kind: str, pooling: Literal["mean", "cls", "max", "lasttoken"] = "mean"
) -> str:
    """A model of that kind with random weights, as a folder."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(bundled_model())
    tokenizer.model_max_length = 40 if kind == "BERT of 40 positions" else 120
    MODELS[kind][1](len(tokenizer)).save_pretrained(folder / "inner")
    tokenizer.save_pretrained(folder / "inner")
    modules = [Transformer(str(folder / "inner")), Pooling(32, pooling)]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "model"))
    return str(folder / "model")


def same(folder: str, dtype: Literal["float32", "bfloat16"], least: float) -> int | None:
    """The vectors must be the library's. Where a row's first token stands; none if padded."""
    backend = SentenceTransformerBackend(EmbeddingSettings(model=folder, dtype=dtype))
    library = SentenceTransformer(folder, device="cpu")
    assert (backend.pads == {"pair"}) == (backend._first is not None)
    for texts in (TEXTS, TEXTS[::-1], TEXTS[:1], [TEXTS[0]] * 3):
        expected = library.encode(texts, batch_size=len(texts), normalize_embeddings=True)
        cosines = (vectors_of(backend, texts, "document") * expected).sum(axis=1)
        assert cosines.min() > least
    return backend._first


@pytest.mark.parametrize("kind", MODELS)
def test_they_give_the_librarys_vectors_and_are_used_where_they_can_be(
    tmp_path: Path, kind: str
) -> None:
    assert same(saved(tmp_path, kind), "float32", 1 - 1e-6) == MODELS[kind][0]


@pytest.mark.parametrize("pooling", ["cls", "max", "lasttoken"])
def test_every_pooling_reads_a_row(
    tmp_path: Path, pooling: Literal["cls", "max", "lasttoken"]
) -> None:
    assert same(saved(tmp_path, "BERT", pooling), "float32", 1 - 1e-6) == 0


@pytest.mark.parametrize(("dtype", "least"), [("float32", 1 - 1e-6), ("bfloat16", 0.999)])
def test_the_bundled_model(dtype: Literal["float32", "bfloat16"], least: float) -> None:
    assert same(bundled_model(), dtype, least) == 0


def test_no_padding_is_computed() -> None:
    backend = SentenceTransformerBackend(EmbeddingSettings(dtype="float32"))
    shapes = []
    embeddings: Any = backend._model[0].get_submodule("model.embeddings")
    embeddings.register_forward_hook(lambda *call: shapes.append(tuple(call[2].shape)))
    tokens = backend.tokenize(TEXTS, "document")
    backend.encode(tokens, "document")
    assert shapes == [(1, sum(len(text.ids) for text in tokens), 384)]


def test_a_model_that_cannot_stays_what_it_was(tmp_path: Path) -> None:
    folder = saved(tmp_path, "a token's distance counts")
    model = SentenceTransformer(folder, device="cpu")
    before = model.encode(TEXTS)
    inner: Any = model[0].get_submodule("model")
    attention = inner.config._attn_implementation
    assert take_rows(model, Reader(model, "document")) is None
    assert inner.config._attn_implementation == attention
    assert np.array_equal(model.encode(TEXTS), before)


def test_a_window_that_is_longer_than_what_is_tried_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def near(_: int, __: int, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (query - key).abs() < 50

    windowed = partial(create_bidirectional_mask, and_mask_function=near)
    monkeypatch.setattr(modeling_bert, "create_bidirectional_mask", windowed)
    model = SentenceTransformer(saved(tmp_path, "BERT"), device="cpu")
    assert take_rows(model, Reader(model, "document")) is None
