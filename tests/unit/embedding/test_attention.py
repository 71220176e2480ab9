"""Attention by two products gives what torch's fused kernel gives, and is used where it may be."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import bert_config
from torch import nn
from transformers import (
    BertModel,
    GPT2Config,
    GPT2Model,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedModel,
    T5Config,
    T5EncoderModel,
)

from embedding.attention import attend_by_products

IDS = torch.arange(3 * 40).reshape(3, 40) % 50
MASK = torch.arange(40)[None] < torch.tensor([[40], [17], [1]])

MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "every token sees all": lambda: BertModel(bert_config(50)),
    "a token sees its neighbours": lambda: ModernBertModel(
        ModernBertConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=64,
            local_attention=8,
            pad_token_id=0,
        )
    ),
    "a token sees what is before it": lambda: GPT2Model(
        GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=2)
    ),
    "a token's distance counts": lambda: T5EncoderModel(
        T5Config(vocab_size=50, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
    ),
}


def made(kind: str, dtype: torch.dtype = torch.bfloat16) -> Any:
    torch.manual_seed(0)
    model: nn.Module = MODELS[kind]()
    return model.to(dtype).eval()


def states(model: nn.Module, texts: int = 3, mask: torch.Tensor | None = MASK) -> Any:
    told = None if mask is None else mask[:texts].long()
    with torch.inference_mode():
        found = model(input_ids=IDS[:texts], attention_mask=told).last_hidden_state
    return found.float() if told is None else found.float() * told[:, :, None]


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry a call of `baddbmm`, which only our attention makes."""
    calls: list[int] = []
    product = torch.baddbmm

    def counted(*args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(1)
        return product(*args, **kwargs)

    monkeypatch.setattr(torch, "baddbmm", counted)
    return calls


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("mask", [MASK, None], ids=["padded", "full"])
def test_it_gives_what_the_fused_kernel_gives(kind: str, mask: torch.Tensor | None) -> None:
    model = made(kind)
    expected = states(model, mask=mask)
    attend_by_products(model)
    torch.testing.assert_close(states(model, mask=mask), expected, atol=0.05, rtol=0.02)


@pytest.mark.parametrize(("kind", "used"), list(zip(MODELS, [2, None, 0, 0], strict=True)))
def test_it_is_used_where_all_tokens_see_the_same(
    products: list[int], kind: str, used: int | None
) -> None:
    model = made(kind)
    attend_by_products(model)
    states(model)
    layers = model.config.num_hidden_layers
    assert len(products) == used if used is not None else 0 < len(products) < layers


def test_one_text_is_left_to_the_fused_kernel(products: list[int]) -> None:
    model = made("every token sees all")
    expected = states(model, 1)
    attend_by_products(model)
    assert torch.equal(states(model, 1), expected) and products == []


def test_another_precision_is_left_as_it_is() -> None:
    model = made("every token sees all", torch.float32)
    attend_by_products(model)
    assert model.config._attn_implementation == "sdpa"


def test_a_text_of_padding_alone_is_no_nonsense() -> None:
    model = made("every token sees all")
    attend_by_products(model)
    with torch.inference_mode():
        found = model(input_ids=IDS, attention_mask=torch.zeros_like(IDS))
    assert torch.isfinite(found.last_hidden_state).all()
