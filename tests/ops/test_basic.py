from __future__ import annotations

import torch
from torch.nn import functional as F

from bough.ir.dtypes import DTYPES

torch.manual_seed(0)
DT = [torch.float32, torch.float64, torch.bfloat16]

def test_a(check):
    for dt in DT:
        x = torch.randn(3, 5, dtype=dt)
        y = torch.randn(5, dtype=dt)
        t = dict(rtol=1e-2, atol=1e-2) if dt == torch.bfloat16 else {}
        check("add", [x, y], x + y)
        check("mish", [x], F.mish(x), **t)
        check("reduce_sum", [x], x.sum(1, keepdim=True), axes=(1,), keep=True, **t)
        check("reduce_var", [x], x.var(1), axes=(-1,), **t)
        check("reduce_mean", [x], x.mean(), axes=(0, 1), **t)
        check("argmax", [x], x.argmax(1), axis=1)
        check("argmax", [x], x.argmax(), axis=None)
        check("cumsum", [x], x.cumsum(1), axis=1, **t)
        w = torch.randn(7, 5, dtype=dt); b = torch.randn(7, dtype=dt)
        check("linear", [x, w, b], F.linear(x, w, b), **t)
        check("linear", [x, w, None], F.linear(x, w), **t)
        a = torch.randn(2, 1, 3, 5, dtype=dt); c = torch.randn(4, 5, 6, dtype=dt)
        check("matmul", [a, c], a @ c, **t)
        check("reshape", [a], a.reshape(6, 5), shape=(6, 5))
        check("reshape", [a], a.reshape(30), shape=(30,))
        check("reshape", [a], a.reshape(5, 6), shape=(5, 6))
        check("permute", [a], a.permute(3, 1, 0, 2), order=(3, 1, 0, 2))
        check("expand", [a], a.expand(2, 4, 3, 5), shape=(2, 4, 3, 5))
        check("slice", [a], a[:, :, :, 1:4:2], axis=-1, start=1, stop=4, step=2)
        check("flip", [a], a.flip(0, 3), axes=(0, 3))
        check("roll", [a], a.roll((1, -2), (0, 3)), shifts=(1, -2), axes=(0, 3))
        check("repeat", [y], y.repeat(2, 3), repeats=(2, 3))
        check("diagonal", [x], x.diagonal(1), offset=1)
        check("diagonal", [x], x.diagonal(-1), offset=-1)
        check("tril", [x], x.tril(1), diagonal=1)
        check("pad", [x], F.pad(x, (1, -2, 0, 3), value=2.0), low=(0, 1), high=(3, -2), value=2.0)
        check("pad", [x], F.pad(x[None], (1, 2), mode="reflect")[0], low=(0, 1), high=(0, 2), mode="reflect")
        check("concat", [x, y[None], x], torch.cat([x, y[None], x]), axis=0)
        i = torch.tensor([[0, 2], [-1, 1]])
        check("take", [x, i], x[:, i], axis=1)
        check("embedding", [w, i.abs()], w[i.abs()])
        check("take_at", [x, torch.tensor(2)], x[:, 2], axis=1)
    check("full", [], torch.full((2, 3), 1.5), shape=(2, 3), value=1.5, dtype=DTYPES["f32"])
    check("iota", [], torch.arange(2, 20, 3), size=6, start=2, step=3, dtype=DTYPES["i64"])
    check("cast", [torch.randn(3)], torch.ones(3, dtype=torch.bool), dtype=DTYPES["bool"])
