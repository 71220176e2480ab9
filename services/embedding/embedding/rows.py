"""Texts one after another in one row, without padding, so that a batch may mix all lengths.

FlashAttention takes such rows on a GPU; transformers has the names for what goes along
(`cu_seq_lens_q`, where texts end) and sentence-transformers pools a row. What is missing for a CPU
is here: attention that keeps each text of a row to itself. Padded, a text of many callers takes the
processors 1.27 times as long (docs/performance.md).
"""

import logging
from collections.abc import Callable
from itertools import groupby, pairwise
from typing import Any, Final

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer
from torch.nn.functional import cosine_similarity, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import bidirectional_mask_function

from embedding.tokens import Reader

_NAME: Final = "bulkhead_rows"
_ENDS: Final = "cu_seq_lens_q"
_UNREAD: Final = {"position_ids", "token_type_ids"}
"""Layers hand these on; they have done their work before attention."""
_SAMPLES = ("One.", "Which port does it listen on?", "which " * 40 + "port")
_TOLERANCE, _COARSE = 1e-5, 1e-3  # one minus the cosine; the second of half precision

_logger = logging.getLogger(__name__)


def take_rows(model: SentenceTransformer, reader: Reader) -> int | None:
    """Let `model`, on a CPU, take what `reader.row` makes, if its vectors stay what they are.

    Returns the position of a text's first token, as `reader.row` asks for it; none, with the model
    as it was, where a token's sight has other bounds than its text's (a window, what is before it).
    """
    transformer = model[0]
    if not isinstance(transformer, Transformer) or model.device.type != "cpu":
        return None
    samples = reader.tokenize(_SAMPLES)
    expected = _vectors(model, reader.features(samples))
    before = transformer.model.config._attn_implementation
    distances, reason = dict[int, float](), ""
    # RoBERTa's kin count a text's tokens from the one after the padding's id.
    for first in (0, reader.pad + 1):
        try:
            transformer.model.set_attn_implementation(_NAME)
            if transformer.model_forward_params is not None:
                transformer.model_forward_params |= {_ENDS}
            alone, all_of_them = (
                _vectors(model, reader.row(some, first)) for some in (samples[:1], samples)
            )
            found, wanted = torch.cat([alone, all_of_them]), torch.cat([expected[:1], expected])
            distances[first] = 1 - cosine_similarity(found, wanted).min().item()
        except Exception as error:  # whatever another kind of model makes of such a row
            reason = reason or str(error)
    nearest = min(distances, key=lambda first: distances[first], default=0)
    if distances.get(nearest, 1.0) < (_TOLERANCE if model.dtype == torch.float32 else _COARSE):
        return nearest
    transformer.model.set_attn_implementation(before)
    reason = "in a row it gives other vectors" if distances else reason
    _logger.warning("this model's batches are padded, which is slower: %s", reason)
    return None


def _vectors(model: SentenceTransformer, features: dict[str, Any]) -> torch.Tensor:
    with torch.inference_mode():
        vectors: torch.Tensor = model(features)["sentence_embedding"].float()
    return vectors


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Of (1, heads, tokens, width) each, the attention of (1, tokens, heads, width).

    Raises `ValueError` where it is asked for more than that each token sees its whole text.
    """
    ends = kwargs.pop(_ENDS, None)
    told = {name for name, one in kwargs.items() if one is not None and one is not False}
    if getattr(module, "is_causal", False) or attention_mask is not None or told - _UNREAD:
        raise ValueError(f"{type(module).__name__} asks for more: {told}")
    if ends is None:
        attended = scaled_dot_product_attention(query, key, value, scale=scaling)
        return attended.transpose(1, 2), None
    seen, start = [], 0
    for length, alike in groupby(end - begin for begin, end in pairwise(ends.tolist())):
        stop = start + length * len(list(alike))
        # Neighbours of the same length at once.
        q, k, v = (_cut(one, start, stop, length) for one in (query, key, value))
        attended = scaled_dot_product_attention(q, k, v, scale=scaling)
        seen.append(attended.transpose(1, 2).flatten(0, 1))
        start = stop
    return torch.cat(seen)[None], None


def _cut(states: torch.Tensor, start: int, stop: int, length: int) -> torch.Tensor:
    """Of (1, heads, tokens, width), that span as (texts, heads, length, width)."""
    _, heads, _, width = states.shape
    return states[0, :, start:stop].view(heads, -1, length, width).transpose(0, 1)


def _mask(
    *_: Any,
    mask_function: Callable[..., bool],
    attention_mask: torch.Tensor | None = None,
    **__: Any,
) -> torch.Tensor | None:
    """None: there is no padding. What is given nevertheless goes on, to be refused.

    Raises `ValueError` where a token is not to see all others of its text.
    """
    if mask_function is not bidirectional_mask_function:
        raise ValueError("a token sees a part of its text")
    return attention_mask


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, _mask)
