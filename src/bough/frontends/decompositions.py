"""How operators without a converter are taken apart into those that have one."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from bough.frontends.converters import CONVERTERS, overload_name
from bough.frontends.grid_sampling import grid_sampler


def rules() -> dict[Any, Any]:
    """A function of the same arguments for each operator that torch knows to take apart and that has no converter."""
    known = {**torch._decomp.decomposition_table, **torch.export.default_decompositions(), **_OWN}
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


def _search(
    rows: torch.Tensor, values: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None, sorter: Any = None
) -> torch.Tensor:
    """Where values belong in sorted rows: how many elements come before each. A NaN belongs behind all."""
    if sorter is not None:
        rows = rows.gather(-1, sorter)
    number = not isinstance(values, torch.Tensor)
    values = torch.full((), values, dtype=rows.dtype) if number else values
    wanted, against = values.unsqueeze(-1), rows if rows.dim() == 1 else rows.unsqueeze(-2)
    behind: torch.Tensor = against > wanted if right or side == "right" else against >= wanted
    return behind.logical_not().sum(-1, dtype=torch.int32 if out_int32 else torch.int64)


def _is_negative(x: torch.Tensor) -> torch.Tensor:
    """Also of -0.0."""
    return x < 0 if not x.dtype.is_floating_point else (x < 0) | ((x == 0) & (1 / x < 0))


def _copysign(x: torch.Tensor, y: Any) -> torch.Tensor:
    if not isinstance(y, torch.Tensor):
        y = torch.full((), float(y), dtype=x.dtype if x.dtype.is_floating_point else None)
    dtype = torch.result_type(x, y)
    size = x.to(dtype if dtype.is_floating_point else torch.get_default_dtype()).abs()
    return torch.where(_is_negative(y), -size, size)


def _hypot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Through a power of two near the larger one, so that no square leaves the range."""
    x, y = x.abs(), y.abs()
    scale = torch.exp2(torch.log2(torch.maximum(x, y)).floor().clamp(-100, 100))
    infinite = x.isinf() | y.isinf()
    return torch.where(infinite, torch.inf, ((x / scale).square() + (y / scale).square()).sqrt() * scale)


def _masked_scatter(x: torch.Tensor, mask: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """The elements of the source one after the other, to where the mask is true; there must be enough of them."""
    x, mask = torch.broadcast_tensors(x, mask)  # type: ignore[no-untyped-call]
    taken = mask.flatten().to(torch.int64).cumsum(0)
    places = torch.where(mask.flatten(), taken - 1, 0)
    chosen = source.flatten().index_select(0, places).reshape(mask.shape)
    result: torch.Tensor = torch.where(mask, chosen, x)
    return result


_OWN = {
    torch.ops.aten.masked_scatter.default: _masked_scatter,
    torch.ops.aten._transformer_encoder_layer_fwd.default: _encoder_layer,
    torch.ops.aten.grid_sampler_2d.default: grid_sampler,
    torch.ops.aten.grid_sampler_3d.default: grid_sampler,
    torch.ops.aten.searchsorted.Tensor: _search,
    torch.ops.aten.searchsorted.Scalar: _search,
    torch.ops.aten.signbit.default: _is_negative,
    torch.ops.aten.copysign.Tensor: _copysign,
    torch.ops.aten.copysign.Scalar: _copysign,
    torch.ops.aten.hypot.default: _hypot,
}
