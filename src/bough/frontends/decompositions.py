"""How operators without a converter are taken apart into those that have one."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from bough.frontends.converters import CONVERTERS, overload_name


def rules() -> dict[Any, Any]:
    """A function of the same arguments for each operator that torch knows to take apart and that has no converter."""
    known = {**torch._decomp.decomposition_table, **torch.export.default_decompositions(), **_FUSED}
    return {overload: rule for overload, rule in known.items() if overload_name(overload) not in CONVERTERS}


def _encoder_layer(
    x: torch.Tensor, width: int, heads: int, qkv_weight: torch.Tensor, qkv_bias: torch.Tensor,
    out_weight: torch.Tensor, out_bias: torch.Tensor, use_gelu: bool, norm_first: bool, eps: float,
    norm1_weight: torch.Tensor, norm1_bias: torch.Tensor, norm2_weight: torch.Tensor, norm2_bias: torch.Tensor,
    up_weight: torch.Tensor, up_bias: torch.Tensor, down_weight: torch.Tensor, down_bias: torch.Tensor,
    mask: torch.Tensor | None = None, mask_type: int | None = None,
) -> torch.Tensor:  # fmt: skip
    """A whole `nn.TransformerEncoderLayer`, which torch runs as one operator where no gradients are needed.

    The mask is true (or not 0) where attention must not go: [queries, keys], or [samples, keys] where its type is 1.
    """
    allowed = None if mask is None else (mask if mask_type != 1 else mask[:, None, None, :]).to(torch.bool).logical_not()

    def attend(x: torch.Tensor) -> torch.Tensor:
        projected = F.linear(x, qkv_weight, qkv_bias).chunk(3, -1)
        q, k, v = (torch.unflatten(part, -1, (heads, -1)).transpose(1, 2) for part in projected)
        attended = F.scaled_dot_product_attention(q, k, v, allowed)
        return F.linear(attended.transpose(1, 2).flatten(2), out_weight, out_bias)

    def feed(x: torch.Tensor) -> torch.Tensor:
        hidden = F.linear(x, up_weight, up_bias)
        return F.linear(F.gelu(hidden) if use_gelu else F.relu(hidden), down_weight, down_bias)

    def norm1(x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (width,), norm1_weight, norm1_bias, eps)

    def norm2(x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (width,), norm2_weight, norm2_bias, eps)

    if norm_first:
        x = x + attend(norm1(x))
        return x + feed(norm2(x))
    x = norm1(x + attend(x))
    return norm2(x + feed(x))


_FUSED = {torch.ops.aten._transformer_encoder_layer_fwd.default: _encoder_layer}
