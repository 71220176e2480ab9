"""What a forward pass works out and nobody reads, left out: a twentieth of a short query's time."""

import inspect

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer


def leave_out_unread(model: SentenceTransformer) -> None:
    """Let `model` compute no more than its vectors need."""
    for module in model.modules():
        # BERT's own pooling, which a model that pools its tokens does not read.
        if isinstance(module, Transformer) and _reads_tokens(module):
            pooled = module.auto_model
            if getattr(pooled, "pooler", None) is not None:
                pooled.pooler = None
        # BERT's layers ask at every call what arguments this takes; so the answer is kept.
        chunk = getattr(type(module), "feed_forward_chunk", None)
        if chunk is not None:
            chunk.__signature__ = inspect.signature(chunk)


def _reads_tokens(module: Transformer) -> bool:
    outputs = {told["method_output_name"] for told in module.modality_config.values()}
    return outputs == {"last_hidden_state"}
