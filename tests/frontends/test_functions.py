"""Single ATen operators and short chains of them, against eager."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from comparing import check

X = torch.tensor([[-2.5, -1.0, -0.3, 0.0, 0.4], [0.5, 1.0, 2.5, 3.5, 9.0], [-7.0, 0.1, 25.0, -0.5, 1.5]])
Y = torch.tensor([[1.5, -2.0, 0.7, 3.0, -0.4], [0.5, 1.0, -2.5, 2.0, 4.0], [2.0, -0.1, 5.0, -3.5, 1.5]])
P = X.abs() + 0.1
UNIT = X.tanh() * 0.9
I = torch.tensor([[-7, 5, 3, 0, 9], [2, -3, 4, 8, 1], [6, 6, -1, 2, 5]])
J = torch.tensor([[2, 3, -2, 4, 5], [1, 2, 3, -5, 2], [3, -4, 2, 1, 2]])
SPECIAL = torch.tensor([0.0, -0.0, 1.0, -3.0, 1e-30, 1e30, torch.inf, -torch.inf, torch.nan])
B = X > 0
C = Y > 0

UNARY: dict[str, tuple[Callable[..., Any], torch.Tensor]] = {
    **{n: (getattr(torch, n), X) for n in (
        "neg abs exp exp2 expm1 sigmoid tanh sin cos tan atan sinh cosh asinh erf erfc lgamma digamma floor ceil trunc sign sgn square relu "
        "selu isnan isinf isfinite round reciprocal negative absolute positive"
    ).split()},
    **{n: (getattr(torch, n), P) for n in "log log2 log10 log1p sqrt rsqrt".split()},
    **{n: (getattr(torch, n), UNIT) for n in "asin acos atanh arcsin arctan erfinv".split()},
    "acosh": (torch.acosh, P + 1),
    **{n: (getattr(F, n), X) for n in (
        "relu6 silu gelu elu celu leaky_relu hardtanh hardswish hardsigmoid softplus mish logsigmoid softsign tanhshrink "
        "hardshrink softshrink"
    ).split()},
    "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), X),
    "elu_alpha": (lambda x: F.elu(x, 0.7), X),
    "celu_alpha": (lambda x: F.celu(x, 1.3), X),
    "leaky_slope": (lambda x: F.leaky_relu(x, 0.2), X),
    "softplus_beta": (lambda x: F.softplus(x, 2.0, 5.0), X),
    "threshold": (lambda x: F.threshold(x, 0.5, -1.0), X),
    "glu": (lambda x: F.glu(x[:, :4], 1), X),
    "clamp": (lambda x: x.clamp(-1, 2), X),
    "clamp_min": (lambda x: x.clamp(min=0.5), X),
    "clamp_max": (lambda x: x.clamp_max(0.5), X),
    "clamp_tensor": (lambda x: torch.clamp(x, UNIT - 1, UNIT + 1), X),
    "nan_to_num": (lambda x: torch.nan_to_num((x / 0 - x / 0) + x / 0), X),
    "pow2": (lambda x: x**2, X), "pow3": (lambda x: x**3, X), "pow_half": (lambda x: x**0.5, P),
    "pow_real": (lambda x: x**1.7, P), "pow_base": (lambda x: 2.0**x, X), "pow_one": (lambda x: x**1, X),
    "add_number": (lambda x: x + 1, X), "rsub": (lambda x: 3 - x, X), "rdiv": (lambda x: 2 / x, P),
    "add_alpha": (lambda x: torch.add(x, x.cos(), alpha=3), X), "sub_alpha": (lambda x: torch.sub(x, 1, alpha=2), X),
    "int_add_float": (lambda x: x + 1.5, I), "int_div": (lambda x: x / 2, I), "int_sqrt": (lambda x: (x * x).sqrt(), I),
    "int_mean": (lambda x: x.float().mean(), I), "int_sigmoid": (torch.sigmoid, I), "bool_add": (lambda b: b + 1, B),
    "bool_sum": (lambda b: b.sum(), B), "bool_float": (lambda b: b.float() * 2, B), "not": (lambda b: ~b, B),
    "int_not": (lambda i: ~i, I), "logical_not": (torch.logical_not, I), "to_int": (lambda x: x.to(torch.int32), X),
    "to_double": (lambda x: x.double() * 3, X), "to_bool": (lambda x: x.to(torch.bool), X), "type_as": (lambda x: I.type_as(x) + x, X),
    "int32": (lambda i: i.int() * 3, I), "rad": (torch.deg2rad, X), "frac": (torch.frac, X), "sinc": (torch.sinc, P),
    "where": (lambda x: torch.where(x > 0, x, 0.0), X), "where_int": (lambda x: torch.where(x > 0, 1, 0), X),
    "masked_fill": (lambda x: x.masked_fill(x > 1, -math.inf), X), "heaviside": (lambda x: (x > 0) & (x < 2) | (x == 9), X),
    "lerp": (lambda x: torch.lerp(x, x * 2, 0.3), X), "addcmul": (lambda x: torch.addcmul(x, x, x, value=0.5), X),
    "addcdiv": (lambda x: torch.addcdiv(x, x, x.abs() + 1, value=0.5), X), "rsqrt_norm": (lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6), X),
    "inplace": (lambda x: x.mul(2).add_(1).relu_(), X),
    "round_decimals": (lambda x: (torch.round(x, decimals=1), torch.round(x * 10, decimals=-1)), X),
    "logit": (lambda x: torch.logit(x.sigmoid()), X), "xlogy": (lambda x: torch.xlogy(x, x), P),
}  # fmt: skip

BINARY: dict[str, tuple[Callable[..., Any], torch.Tensor, torch.Tensor]] = {
    **{n: (getattr(torch, n), X, Y) for n in (
        "add sub mul div maximum minimum atan2 lt le gt ge eq ne remainder fmod floor_divide max min hypot copysign"
    ).split()},
    **{f"{n}_special": (getattr(torch, n), SPECIAL[:, None], SPECIAL[None]) for n in ("hypot", "copysign")},
    "copysign_number": (lambda a, b: torch.copysign(a, -0.0) + torch.signbit(b), X, Y),
    **{f"int_{n}": (getattr(torch, n), I, J) for n in (
        "add sub mul div maximum minimum lt le gt ge eq ne remainder fmod floor_divide bitwise_and bitwise_or bitwise_xor"
    ).split()},
    **{n: (getattr(torch, n), B, C) for n in "logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor".split()},
    "pow": (torch.pow, P, Y), "mixed": (torch.mul, X, J), "mixed_bool": (torch.add, X, C), "mixed_int": (lambda i, j: i + j.int(), I, J),
    "floor_mode": (lambda a, b: torch.div(a, b, rounding_mode="floor"), I, J),
    "trunc_mode": (lambda a, b: torch.div(a, b, rounding_mode="trunc"), I, J),
    "trunc_mode_float": (lambda a, b: torch.div(a, b, rounding_mode="trunc"), X, Y),
    "shift": (lambda a, b: (a << b.abs()) + (a >> 1), I, J), "logical_int": (torch.logical_and, I, J),
    "broadcast": (lambda a, b: a[:, None] * b[None], X, Y), "scalar_tensor": (lambda a, b: a * torch.tensor(2) + b * torch.tensor(0.5), X, J),
    "prelu": (lambda a, b: F.prelu(a, b[0]), X, Y), "where": (lambda a, b: torch.where(a > b, a, b), X, Y),
    "mse": (F.mse_loss, X, Y), "cosine": (lambda a, b: F.cosine_similarity(a, b, dim=1), X, Y), "cdist": (torch.cdist, X, Y),
    "cross_entropy": (lambda a, b: F.cross_entropy(a, b[:, 0].abs() % 5), X, J),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_tensor(name: str) -> None:
    function, x = UNARY[name]
    check(function, x)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_tensors(name: str) -> None:
    function, x, y = BINARY[name]
    check(function, x, y)


def test_updates_in_place() -> None:
    def plain(x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        z = y * 2
        y += x  # z keeps the old y
        y.mul_(z).clamp_(0, 5)
        return y + z

    def through_views(x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        rows = y[1:]
        y.add_(1)
        rows.mul_(2)
        y[0] = 7.0
        y[:, 1] += 1
        y[y > 20] = 0
        return torch.stack([y.sum(0), rows.sum(0)])

    def kept_type(i: torch.Tensor) -> torch.Tensor:
        y = i * 2
        y += True
        return y.fill_(3) + i.clone().zero_()

    def hidden_alias(x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        z = torch.dropout(y, 0.5, False)
        y.add_(1)
        return z

    check(plain, X)
    check(through_views, X)
    check(kept_type, I)
    check(hidden_alias, X)


T = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)
VIEWS: dict[str, Callable[[torch.Tensor], Any]] = {
    "view": lambda x: x.view(6, 20), "reshape": lambda x: x.reshape(4, -1), "flatten": lambda x: x.flatten(1, 2),
    "unflatten": lambda x: x.unflatten(2, (2, 2)), "squeeze": lambda x: x[:, :1].squeeze(1), "squeeze_all": lambda x: x[:1, :1].squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(-1), "permute": lambda x: x.permute(0, 2, -1, 1), "transpose": lambda x: x.transpose(1, -1),
    "t": lambda x: x[0, 0].t(), "mT": lambda x: x.mT, "movedim": lambda x: x.movedim(1, -1), "movedims": lambda x: x.movedim((0, 1), (2, 0)),
    "swapaxes": lambda x: x.swapaxes(0, 2), "expand": lambda x: x[:, :1].expand(-1, 7, -1, -1), "expand_as": lambda x: x[:, :1].expand_as(x),
    "broadcast": lambda x: torch.broadcast_tensors(x[0, 0], x[0, 0, :, :1]), "slice": lambda x: x[:, 1:, ::2, -3:-1], "select": lambda x: x[:, -1, 2],
    "slice_past": lambda x: x[:, 1:100], "narrow": lambda x: x.narrow(2, 1, 2), "unbind": lambda x: x.unbind(1), "split": lambda x: x.split(2, 3),
    "split_sizes": lambda x: x.split([1, 3], 2), "chunk": lambda x: x.chunk(3, -1), "tensor_split": lambda x: x.tensor_split(2, 3),
    "cat": lambda x: torch.cat([x, x + 1, x[:1]], 0), "cat_mixed": lambda x: torch.cat([x, x.long()], 1), "stack": lambda x: torch.stack([x, x * 2], -1),
    "hstack": lambda x: torch.hstack([x, x]), "flip": lambda x: x.flip(0, -1), "roll": lambda x: x.roll(2, 3), "roll2": lambda x: x.roll((1, -1), (0, 1)),
    "roll_flat": lambda x: x.roll(7), "repeat": lambda x: x.repeat(2, 1, 1, 2), "repeat_new": lambda x: x[0].repeat(2, 1, 1, 1),
    "tile": lambda x: x.tile(2), "interleave": lambda x: x.repeat_interleave(3, 1), "interleave_flat": lambda x: x[0, 0].repeat_interleave(2),
    "tril": lambda x: x.tril(), "triu": lambda x: x.triu(1), "diagonal": lambda x: x.diagonal(1, 2, 3), "pad": lambda x: F.pad(x, (1, 2, 0, 3), value=1.5),
    "crop": lambda x: F.pad(x, (-1, -1)), "reflect": lambda x: F.pad(x, (1, 2, 2, 1), mode="reflect"), "replicate": lambda x: F.pad(x, (1, 2, 2, 1), mode="replicate"),
    "circular": lambda x: F.pad(x, (1, 2), mode="circular") if x.dim() == 3 else F.pad(x[0], (1, 2), mode="circular"),
    "zeros": lambda x: torch.zeros(2, 3) + torch.zeros_like(x).sum(), "ones": lambda x: x.new_ones(3, 2), "full": lambda x: torch.full((2, 2), 1.5) * x[0, 0, :2, :2],
    "full_like": lambda x: torch.full_like(x, 3), "arange": lambda x: torch.arange(5) * x, "arange_step": lambda x: torch.arange(1, 11, 2.0) + x,
    "eye": lambda x: torch.eye(4) @ x, "linspace": lambda x: torch.linspace(-1, 1, 5) * x, "meshgrid": lambda x: torch.meshgrid(x[0, 0, 0], x[0, 0, :, 0], indexing="ij"),
    "meshgrid_xy": lambda x: torch.meshgrid(x[0, 0, 0], x[0, 0, :, 0], indexing="xy"), "literal": lambda x: x * torch.tensor([1.0, 2, 3, 4, 5]),
    "clone": lambda x: x.clone().contiguous().detach(), "one_hot": lambda x: F.one_hot(x[0, 0, 0].long(), 6), "pixel_shuffle": lambda x: F.pixel_shuffle(x.reshape(2, 4, 3, 5), 2),
    "unfold": lambda x: F.unfold(x, 2), "tensor_unfold": lambda x: x.unfold(3, 2, 1), "rot90": lambda x: torch.rot90(x, 1, (2, 3)), "diff": lambda x: x.diff(dim=-1),
    "einsum": lambda x: torch.einsum("bchw,bdhw->bcd", x, x + 1), "einsum_trace": lambda x: torch.einsum("ij,ij->", x[0, 0], x[1, 1]),
    "outer": lambda x: torch.outer(x[0, 0, 0], x[0, 0, :, 0]), "channel_shuffle": lambda x: F.channel_shuffle(x.transpose(1, 2), 2),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2), "interpolate_size": lambda x: F.interpolate(x, size=(7, 9)), "bilinear_corners": lambda x: F.interpolate(x, size=(7, 3), mode="bilinear", align_corners=True), "bilinear_factor": lambda x: F.interpolate(x, scale_factor=1.3, mode="bilinear"),
    "linear": lambda x: F.interpolate(x[0], scale_factor=0.7, mode="linear"), "nearest_factor": lambda x: F.interpolate(x, scale_factor=1.3), "trilinear": lambda x: F.interpolate(x[None], scale_factor=2, mode="trilinear"),
    **{f"smooth_{m}_{c}": lambda x, m=m, c=c: [F.interpolate(x, size=s, mode=m, align_corners=c, antialias=True) for s in ((2, 3), (7, 2), (1, 9))] for m in ("bilinear", "bicubic") for c in (True, False)},
    "smooth_factor": lambda x: F.interpolate(x, scale_factor=(0.4, 1.7), mode="bilinear", antialias=True),
    "interpolate_down": lambda x: F.interpolate(x, scale_factor=0.6), "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_views(name: str) -> None:
    check(VIEWS[name], T)


R = torch.randn(2, 3, 4)
REDUCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "sum": lambda x: x.sum(), "sum_dim": lambda x: x.sum(1), "sum_dims": lambda x: x.sum((0, -1), keepdim=True), "mean": lambda x: x.mean(),
    "mean_dim": lambda x: x.mean(-1), "sum_type": lambda x: x.sum(dtype=torch.float64), "int_sum": lambda x: (x * 9).int().sum(1), "amax": lambda x: x.amax((1, 2)),
    "amin": lambda x: x.amin(0), "max": lambda x: x.max(), "max_dim": lambda x: x.max(1), "min_dim": lambda x: x.min(-1, keepdim=True), "prod": lambda x: x.prod(),
    "prod_dim": lambda x: x.prod(1), "any": lambda x: (x > 1).any(), "any_dim": lambda x: (x > 1).any(1), "all": lambda x: (x > -1).all(-1), "argmax": lambda x: x.argmax(),
    "argmax_dim": lambda x: x.argmax(1), "argmin": lambda x: x.argmin(-1, keepdim=True), "var": lambda x: x.var(), "var_dim": lambda x: x.var(1, unbiased=False),
    "var_correction": lambda x: x.var(1, correction=0), "std": lambda x: x.std(-1), "var_mean": lambda x: torch.var_mean(x, 1), "std_mean": lambda x: torch.std_mean(x, 1),
    "cumsum": lambda x: x.cumsum(1), "cumsum_narrow": lambda x: (x > 0).cumsum(1, dtype=torch.int32), "cumprod": lambda x: x.cumprod(-1), "cummax": lambda x: (x * 2).round().cummax(1), "cummin": lambda x: x.cummin(-1),
    "logcumsumexp": lambda x: x.logcumsumexp(1), "logsumexp": lambda x: x.logsumexp(1), "norm": lambda x: x.norm(), "norm_dim": lambda x: x.norm(dim=-1),
    "norm1": lambda x: torch.linalg.vector_norm(x, 1, dim=1), "norm3": lambda x: torch.linalg.vector_norm(x, 3, dim=1), "norm_inf": lambda x: torch.linalg.vector_norm(x, math.inf),
    "softmax": lambda x: x.softmax(-1), "softmax_axis": lambda x: F.softmax(x, 1), "log_softmax": lambda x: F.log_softmax(x, 0), "normalize": lambda x: F.normalize(x, dim=-1),
    "softmin": lambda x: F.softmin(x, dim=1), "count_nonzero": lambda x: torch.count_nonzero(x > 0), "aminmax": lambda x: torch.aminmax(x), "standardize": lambda x: (x - x.mean(1, True)) / x.std(1, keepdim=True),
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str) -> None:
    check(REDUCTIONS[name], R)


N = torch.tensor([[1, 0, 2], [2, 2, 1]])
INDEXING: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "embedding": lambda x, i: F.embedding(i, x[0]), "embedding_padding": lambda x, i: F.embedding(i, x[0], padding_idx=0),
    "index_select": lambda x, i: x.index_select(1, i[0]), "gather": lambda x, i: x[:, :, 0].gather(1, i), "take_along": lambda x, i: torch.take_along_dim(x[:, :, 0], i, 1),
    "index": lambda x, i: x[:, i[0]], "index_two": lambda x, i: x[i % 2, i], "index_split": lambda x, i: x[i[0] % 2, :, i[0]], "index_negative": lambda x, i: x[:, -i - 1],
    "scatter": lambda x, i: x[:, :, 0].scatter(1, i[:, :2], x[:, :, 1]), "scatter_value": lambda x, i: x[:, :, 0].scatter(1, i[:, :1], 2.0), "scatter_add": lambda x, i: x[:, :, 0].scatter_add(1, i, x[:, :, 1]),
    "masked_scatter": lambda x, i: x.masked_scatter(x > 0, x.flatten() + 1), "masked_scatter_rows": lambda x, i: x.masked_scatter(i[:, :, None] > 1, x * 2),
    "take_along_broadcast": lambda x, i: x.take_along_dim(i[:, :2, None], 1), "take_along_flat": lambda x, i: x.take_along_dim(i), "take_along_one": lambda x, i: x[:1].take_along_dim(i[:, :1, None], 1),
    **{f"scatter_{r}_{s}": lambda x, i, r=r, s=s: (x[:, :, 0].scatter_reduce(1, i, x[:, :, 1], r, include_self=s), (i * 4).scatter_reduce(1, i, i * 3, r, include_self=s)) for r in ("mean", "prod", "amin") for s in (True, False)},
    "index_mean": lambda x, i: x.index_reduce(1, i[0], x + 1, "mean", include_self=False), "index_amax": lambda x, i: x.index_reduce(1, i[0], x[:, :3] + 1, "amax"),
    "searched": lambda x, i: (torch.searchsorted(x[0, 0].sort().values, x), torch.searchsorted(x.sort(-1).values, x, right=True), torch.searchsorted(i.sort(-1).values, i, out_int32=True), torch.searchsorted(x[0, 0].sort().values, 0.5), torch.searchsorted(x[0, 0], x, sorter=x[0, 0].argsort())),
    "searched_nan": lambda x, i: torch.searchsorted(x[0, 0].sort().values, torch.where(x > 0, torch.nan, torch.inf)),
    "scatter_reduce": lambda x, i: x[:, :, 0].scatter_reduce(1, i, x[:, :, 1], "amax"), "index_add": lambda x, i: x.index_add(1, i[0], x), "index_copy": lambda x, i: x.index_copy(1, i[0], x * 2),
    "index_fill": lambda x, i: x.index_fill(1, i[1], 3.0), "index_put": lambda x, i: x.index_put((i % 2, i), torch.ones(4)), "accumulate": lambda x, i: x.index_put((i % 2,), x[:1, :1], accumulate=True),
    "assign_mask": lambda x, i: torch.where(x > 0, x, x).clone().masked_fill_(x > 1, 0.5), "sort": lambda x, i: x.sort(1), "sort_down": lambda x, i: x.sort(-1, descending=True), "argsort": lambda x, i: x.argsort(1),
    "kth": lambda x, i: x.kthvalue(2, 1, keepdim=True), "median": lambda x, i: x.median(), "median_of_axis": lambda x, i: x.median(-1), "median_kept": lambda x, i: x.median(1, keepdim=True),
    "median_nan": lambda x, i: torch.where(x > 1, torch.nan, x).median(1), "median_whole": lambda x, i: i.median(), "median_one": lambda x, i: x.sum().median(0),
    "topk": lambda x, i: x.topk(2, -1), "topk_smallest": lambda x, i: x.topk(2, 1, largest=False), "message": lambda x, i: torch.zeros_like(x[0]).index_add(0, i[0], x[0][i[1]]),
    "bags": lambda x, i: F.embedding_bag(i, x[0]), "bags_padding": lambda x, i: F.embedding_bag(i, x[0], padding_idx=2, mode="sum"),
    "bags_max": lambda x, i: F.embedding_bag(i, x[0], mode="max"), "bags_weighed": lambda x, i: F.embedding_bag(i, x[0], per_sample_weights=x[:, :, 0], mode="sum"),
    "bags_offsets": lambda x, i: F.embedding_bag(i[0], x[0], i[1, 2:] * 0, mode="sum"), "bags_empty": lambda x, i: F.embedding_bag(i.flatten(), x[0], torch.tensor([0, 2, 2, 6]), include_last_offset=True),
    "index_add_last": lambda x, i: (x.index_add(-1, i[0, :2], x[..., :2], alpha=0.5), x[0, 0, 0].index_add(0, i[0, 0] * 0, x[1, 1, 1]), (i * 2).index_add(1, i[0], i, alpha=3)),
    "index_add_nothing": lambda x, i: x.index_add(1, i[0, :0], x[:, :0]), "index_add_written": lambda x, i: torch.zeros_like(x).index_add_(1, i[1], x).index_add_(0, i[0] % 2, x[[1, 0, 1]]),
    "argsort_stable": lambda x, i: (x.argsort(dim=0, stable=True), i.argsort(-1, True), x.sum().argsort(), torch.where(x > 0, torch.nan, x).argsort(1)),
    "index_range": lambda x, i: x[torch.arange(2), i[:, 0]], "index_last": lambda x, i: x[..., i], "where_mask": lambda x, i: x * (i > 0)[:, :, None],
}  # fmt: skip


@pytest.mark.parametrize("name", INDEXING)
def test_indexing(name: str) -> None:
    check(INDEXING[name], R, N)


PRODUCTS: dict[str, Callable[..., Any]] = {
    "mm": lambda a, b: a[0] @ b[0], "bmm": torch.bmm, "matmul_broadcast": lambda a, b: a @ b[0], "mv": lambda a, b: a[0] @ b[0, :, 0], "vm": lambda a, b: a[0, 0] @ b,
    "dot": lambda a, b: a[0, 0] @ b[0, :, 0], "batched_mv": lambda a, b: a @ b[0, :, 0], "addmm": lambda a, b: torch.addmm(b[0, :3], a[0], b[0], beta=0.5, alpha=2),
    "baddbmm": lambda a, b: torch.baddbmm(a[:, :, :1], a, b), "linear": lambda a, b: F.linear(a, b[0].t()), "bilinear": lambda a, b: F.bilinear(a[0], a[1], b[:, :, :4].reshape(2, 4, 4) if b.shape[2] == 4 else b[:, :4, :1].expand(2, 4, 4)),
    "tensordot": lambda a, b: torch.tensordot(a, b, ([2], [1])), "chain": lambda a, b: torch.linalg.multi_dot([a[0], b[0], a[0, :, :1][:3]]) if b.shape[2] == 3 else a[0] @ b[0],
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name: str) -> None:
    check(PRODUCTS[name], torch.randn(2, 3, 4), torch.randn(2, 4, 5))
