"""Attention as two batched products: in bfloat16 on a CPU quicker than torch's fused kernel.

That is made for long texts and wide heads; on some hundred tokens and heads of 32 it takes half as
long again (docs/performance.md). One text alone is left to it.
"""

from typing import Any, Final

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME: Final = "bulkhead_products"
_NEVER = -1e30
"""Added to the score of what is masked; infinity would make a row of nothing but such no number."""


def attend_by_products(model: nn.Module) -> None:
    """Let the transformer inside of `model` attend so, where that is quicker."""
    for module in model.modules():
        if (
            isinstance(module, PreTrainedModel)
            and module.config._attn_implementation == "sdpa"
            and (module.device.type, module.dtype) == ("cpu", torch.bfloat16)
        ):
            module.set_attn_implementation(_NAME)


def _mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:
    """True where a token sees another: (texts, 1, 1, tokens) if all of a text see the same."""
    mask: torch.Tensor | None = sdpa_mask(*args, **kwargs)
    if mask is None:
        return None
    row = mask[:, :, :1]
    return row if torch.equal(mask, row.expand_as(mask)) else mask


def _attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Of (texts, heads, tokens, width) each, the attention of (texts, tokens, heads, width)."""
    texts, heads, tokens, width = query.shape
    alike = attention_mask is None or attention_mask.shape[2] == 1
    told = [one for one in kwargs.values() if one is not None and one is not False]
    special = getattr(module, "is_causal", False) or bool(told)
    if texts == 1 or key.shape != query.shape or special or not alike:
        attended: torch.Tensor = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )[0]
        return attended, None
    unseen = query.new_zeros(texts, 1, 1, tokens)
    if attention_mask is not None:
        unseen = unseen.masked_fill(~attention_mask, _NEVER)
    # One product a text and head, to whose every row the same is added.
    products = texts * heads
    unseen = unseen.expand(texts, heads, 1, tokens).reshape(products, 1, tokens)
    query, key, value = (one.reshape(products, tokens, width) for one in (query, key, value))
    scale = width**-0.5 if scaling is None else scaling
    scores = torch.baddbmm(unseen, query, key.transpose(1, 2), alpha=scale)
    seen = torch.bmm(scores.softmax(-1), value)
    return seen.view(texts, heads, tokens, width).transpose(1, 2), None


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, _mask)
