"""Sizes of a model that is made on the spot, with random weights."""

from transformers import BertConfig


def bert_config(vocabulary: int) -> BertConfig:
    """A BERT with two small layers."""
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
