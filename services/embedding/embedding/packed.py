"""Linear layers whose weights are laid out for oneDNN once, and not again for every batch.

torch reorders the weights of a layer each time it multiplies, which for the few tokens of a query
is a fifth of the work (docs/performance.md). The two operators are those that torch's own compiler
makes of a linear layer; the compiler itself needs one for C++ in the image. They are private, so
torch is pinned and a test compares the vectors.
"""

from typing import Any

import torch
from torch import nn


class PackedLinear(nn.Module):
    """A linear layer for inference on a CPU."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        reorder: Any = torch.ops.mkldnn._reorder_linear_weight
        self.weight: torch.Tensor = reorder(layer.weight.detach(), None)  # T5 asks for its type
        self._bias = None if layer.bias is None else layer.bias.detach()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The layer's output."""
        multiply: Any = torch.ops.mkldnn._linear_pointwise
        product: torch.Tensor = multiply(states, self.weight, self._bias, "none", [], "")
        return product


def pack(module: nn.Module) -> None:
    """Replace every linear layer inside of `module`, where this processor and torch can."""
    for name, child in module.named_children():
        if type(child) is nn.Linear and _packable(child.weight):
            setattr(module, name, PackedLinear(child))
        else:
            pack(child)


def _packable(weight: torch.Tensor) -> bool:
    # torch leaves these two without types.
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    native: Any = torch.ops.mkldnn._is_mkldnn_bf16_supported
    return weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and native())
