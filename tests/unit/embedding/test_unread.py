"""What is left out of a forward pass changes no vector."""

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tiny import bert_config
from transformers import AutoTokenizer, BertModel

from embedding.settings import bundled_model
from embedding.unread import leave_out_unread

TEXTS = ["How do I restart the server?", "", "word " * 400]


def made(folder: Path) -> Transformer:
    """A BERT with two random layers."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(bundled_model())
    BertModel(bert_config(len(tokenizer))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    read: Transformer = Transformer(str(folder))
    return read


def test_the_vectors_are_the_same_without_berts_own_pooling(tmp_path: Path) -> None:
    transformer = made(tmp_path)
    model = SentenceTransformer(modules=[transformer, Pooling(32, "cls")], device="cpu")
    before = model.encode(TEXTS)
    leave_out_unread(model)
    assert transformer.auto_model.pooler is None
    assert (model.encode(TEXTS) == before).all()


def test_what_is_read_stays(tmp_path: Path) -> None:
    transformer = made(tmp_path)
    transformer.modality_config = {
        "text": {"method": "forward", "method_output_name": "pooler_output"}
    }
    leave_out_unread(SentenceTransformer(modules=[transformer], device="cpu"))
    assert transformer.auto_model.pooler is not None
